// SPDX-License-Identifier: Apache-2.0

package matrix

import "github.com/ukprobe/ukprobe/internal/strictyaml"

// format is that of a matrix file.
var format = strictyaml.Format{Name: "matrix file", Whole: "a matrix has version and cells", Instead: "use defaults, or a list", MaxItems: maxItems}

// Error is a mistake in a matrix file.
type Error = strictyaml.Error

// Load reads and parses the matrix file at path.
func Load(path string) (*Matrix, error) {
	d, root, err := strictyaml.Load(format, path)
	if err != nil {
		return nil, err
	}
	return decode(d, root)
}

// Parse parses a matrix file. The name is for errors, and paths in the file
// are relative to its folder. All mistakes found are returned at once, each an
// *Error; names are not looked up, that is Check's.
func Parse(name string, text []byte) (*Matrix, error) {
	d, root, err := strictyaml.Parse(format, name, text)
	if err != nil {
		return nil, err
	}
	return decode(d, root)
}
