// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const deb822Sources = `# a comment
Types: deb
# a comment inside
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://vendor.example/apt
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/vendor.gpg
`

const oneLineSources = `deb [arch=amd64,arm64 check-valid-until=no] http://mirror.example/debian bookworm main # ours
deb-src http://mirror.example/debian bookworm main
#deb http://mirror.example/debian sid main
deb http://mirror.example/debian bookworm-updates main
deb http://mirror.example/debian-security bookworm-security main contrib
deb http://vendor.example/tool tool-bookworm main
deb http://vendor.example/flat ./
deb http://vendor.example/docker bookworm stable
`

func TestForSuite(t *testing.T) {
	const (
		trixie822 = `Types: deb
URIs: http://mirror.example/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
Targets: Packages

Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
Targets: Packages
`
		backportsOneLine = `Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-backports
Components: main
Architectures: amd64 arm64
check-valid-until: no
Targets: Packages
`
		inlineKey = `Types: deb
URIs: http://mirror.example/debian
Suites: bullseye
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ
 -----END PGP PUBLIC KEY BLOCK-----
Targets: Packages
`
	)
	tests := []struct {
		name, file, text, suite string
		security                bool
		want                    string
	}{
		{"deb822, security mapped", "sources.list.d/debian.sources", deb822Sources, "trixie", true, trixie822},
		{"one line, backports, security dropped", "sources.list", oneLineSources, "bookworm-backports", false, backportsOneLine},
		{"key inside the file", "sources.list.d/d.sources",
			"Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: stable\nComponents: main\nSigned-By:\n" +
				" -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n -----END PGP PUBLIC KEY BLOCK-----\n",
			"bullseye", true, inlineKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			etc := writeEtc(t, map[string]string{tt.file: tt.text})
			machine, err := machineSources(etc, "bookworm")
			if err != nil {
				t.Fatal(err)
			}
			out, err := forSuite(machine, "bookworm", tt.suite, tt.security)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, format(out)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMachineSourcesRefuses(t *testing.T) {
	tests := map[string]map[string]string{
		"no file":        {},
		"only a vendor":  {"sources.list.d/node.sources": "Types: deb\nURIs: http://vendor.example\nSuites: nodistro\nComponents: main\n"},
		"switched off":   {"sources.list.d/d.sources": "Enabled: no\n" + deb822Sources[len("# a comment\n"):200]},
		"disabled file":  {"sources.list.d/debian.sources.disabled-by-someone": deb822Sources},
		"only deb-src":   {"sources.list": "deb-src http://mirror.example/debian bookworm main\n"},
		"broken options": {"sources.list": "deb [arch=amd64 http://mirror.example/debian bookworm main\n"},
	}
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := machineSources(writeEtc(t, files), "bookworm"); err == nil {
				t.Errorf("no error, but %v", got)
			}
		})
	}
}

func TestForSuiteRefusesName(t *testing.T) {
	for _, suite := range []string{"", "../etc", "a\nURIs: x", "-o"} {
		if _, err := forSuite(nil, "bookworm", suite, true); err == nil {
			t.Errorf("forSuite(%q): no error", suite)
		}
	}
}

func TestKindOf(t *testing.T) {
	tests := map[string]kind{
		"bookworm": archive, "bookworm-updates": archive, "bookworm-backports": archive, "stable": archive,
		"bookworm-security": security, "buster/updates": security, "own": archive, "own-security": security,
		"nodistro": other, "cloud-sdk-bookworm": other, "bookworm-pgdg": other, "": other, "./": other,
	}
	for suite, want := range tests {
		if got := kindOf(suite, "own"); got != want {
			t.Errorf("kindOf(%q) = %v, want %v", suite, got, want)
		}
	}
}

func writeEtc(t *testing.T, files map[string]string) string {
	t.Helper()
	etc := t.TempDir()
	for name, text := range files {
		path := filepath.Join(etc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return etc
}
