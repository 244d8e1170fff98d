// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// DefaultStateDir is where the figure is kept unless told otherwise. Unlike
// journals it has to outlive a reboot.
const DefaultStateDir = "/var/lib/ukprobe"

const (
	fileName      = "overhead.json"
	format        = "ukprobe-overhead"
	formatVersion = 1
	maxFile       = 1 << 20 // bytes
)

// Host is what a figure is true for.
type Host struct {
	Kernel      string `json:"kernel"`
	CPUModel    string `json:"cpu_model"`
	CPUs        int    `json:"cpus"`
	Hypervisor  string `json:"hypervisor"`   // "" on bare metal
	KVMHardware bool   `json:"kvm_hardware"` // behind KVM; else it emulates instructions
}

// HostNow is this host.
func HostNow(h platform.Host) Host {
	f := cpu.Facts()
	out := Host{Kernel: f.Kernel.Value, CPUModel: f.CPUModel.Value, Hypervisor: f.Hypervisor.Value, KVMHardware: h.Hardware}
	out.CPUs, _ = strconv.Atoi(f.OnlineCPUs.Value)
	return out
}

// state is the content of overhead.json.
type state struct {
	Format        string           `json:"format"`
	FormatVersion int              `json:"format_version"`
	Host          Host             `json:"host"`
	Version       string           `json:"version"` // of ukprobe
	Overhead      results.Overhead `json:"overhead"`
}

// Save keeps the report's figure, without its samples, in dir, for the runs to come
// on this host. It returns the file's path.
func (r *Report) Save(dir string) (path string, err error) {
	path = filepath.Join(dir, fileName)
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep the figure for later runs: %w: choose another folder with --state-dir", err)
		}
	}()
	data, err := json.MarshalIndent(state{format, formatVersion, r.Host, r.Version, r.Overhead}, "", " ")
	if err != nil {
		return path, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return path, err
	}
	f, err := os.CreateTemp(dir, "."+fileName+".*")
	if err != nil {
		return path, err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return path, errors.Join(err, os.Remove(f.Name()))
	}
	return path, nil
}

// remedy ends every reason why there is no figure.
const remedy = ": run `ukprobe overhead`"

// Known is the figure that was kept in dir, if it is this host's, kernel's and
// version's, and else one with the reason why there is none.
func Known(dir string, h Host, version string) *results.Overhead {
	o, err := load(filepath.Join(dir, fileName), h, version)
	if err != nil {
		return &results.Overhead{Reason: err.Error() + remedy}
	}
	return o
}

func load(path string, h Host, version string) (*results.Overhead, error) {
	// Opening a pipe would wait for somebody to write into it.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("not measured on this host")
	}
	if err != nil {
		return nil, fmt.Errorf("not known: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("not known: %s is not a regular file", path), err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("not known: %w", err)
	}
	s, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("not known: %s: %w", path, err)
	}
	return s.fits(h, version)
}

// parse reads the content of an overhead.json.
func parse(data []byte) (*state, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if s.Format != format || s.FormatVersion != formatVersion {
		return nil, fmt.Errorf("it says format %q, version %d: want %q, version %d", s.Format, s.FormatVersion, format, formatVersion)
	}
	if s.Overhead.Reason != "" || s.Overhead.Measured == nil || s.Overhead.Rounds < 1 {
		return nil, errors.New("it holds no figure")
	}
	return &s, nil
}

// fits tells whether the figure is true for a host and version, or why not.
func (s *state) fits(h Host, version string) (*results.Overhead, error) {
	when := s.Overhead.Measured.Format(time.DateOnly)
	var other string
	switch {
	case s.Version != version:
		other = fmt.Sprintf("with ukprobe %s, and this is %s", s.Version, version)
	case s.Host.Kernel != h.Kernel:
		other = fmt.Sprintf("on Linux %s, and this is %s", s.Host.Kernel, h.Kernel)
	case s.Host != h:
		other = "on another host, or with other CPUs"
	default:
		return &s.Overhead, nil
	}
	return nil, fmt.Errorf("not measured on this host with this version (measured %s %s)", when, other)
}
