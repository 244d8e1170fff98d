// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseCgroups(t *testing.T) {
	v2, legacy := parseCgroups([]byte("12:cpu,cpuacct:/machine/qemu\n1:name=systemd:/machine/qemu\n0::/machine.slice/a:b.scope (deleted)\nnonsense\n"))
	if diff := cmp.Diff([]string{"/machine.slice/a:b.scope", "/machine/qemu"}, append([]string{v2}, legacy...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadProcess reads a real process, and one that is gone.
func TestReadProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read x", "two words", "")
	cmd.Args[0] = "a name"
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	waitFor(t, "exec", func() bool {
		p, err := procRoot.read(pid)
		return err == nil && len(p.Args) > 0 && p.Args[0] == "a name"
	})
	p, err := procRoot.read(pid)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel's own trailing zero is not an argument; an empty last one is lost with it.
	if diff := cmp.Diff([]string{"a name", "-c", "read x", "two words"}, p.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if p.Start == 0 || p.Cgroup == "" && len(p.Legacy) == 0 {
		t.Errorf("%+v: no start or no cgroup", p)
	}
	if ok, err := procRoot.holdsVM(pid); ok || err != nil {
		t.Errorf("a shell holds a VM: %v, %v", ok, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := procRoot.read(pid); !errors.Is(err, errGone) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := procRoot.holdsVM(pid); !errors.Is(err, errGone) {
		t.Errorf("after its end: %v", err)
	}
}

// TestReadIsBounded: however long a command line is, only so much is taken in.
func TestReadIsBounded(t *testing.T) {
	p := newFakeProc(t)
	p.add(7, 1, "/", true, "qemu-system-x86_64", "-name", strings.Repeat("n", 1<<20))
	got, err := p.read(7)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range got.Args {
		n += len(a) + 1
	}
	if n > maxCmdline+1 {
		t.Errorf("%d bytes of arguments", n)
	}
	if id := Identify(got); utf8.RuneCountInString(id.Name) != maxName || !strings.HasSuffix(id.Name, "n…") {
		t.Errorf("name %q", id.Name)
	}
	p.write("8/cmdline", strings.Repeat("\x00x", 1<<20))
	text, err := os.ReadFile(string(p.proc) + "/8/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if args := splitArgs(text); len(args) > 4096 {
		t.Errorf("%d arguments", len(args))
	}
}

func TestHoldsVM(t *testing.T) {
	p := newFakeProc(t)
	p.add(7, 1, "/", true, "qemu")
	p.add(8, 1, "/", false, "sh")
	for pid, want := range map[int]bool{7: true, 8: false} {
		if got, err := p.holdsVM(pid); got != want || err != nil {
			t.Errorf("%d: %v, %v", pid, got, err)
		}
	}
	pids, err := p.pids()
	if diff := cmp.Diff([]int{7, 8}, pids); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"web-1.example":            "web-1.example",
		" Ubuntu 24 ":              "Ubuntu 24",
		"größe 界":                  "größe 界",
		"\x1b[2Jboo\r\n\x00":       "_[2Jboo___",
		"a\xff\xfeb":               "a__b",
		"\u202egnp.exe":            "_gnp.exe",
		"e\u0301\u0301":            "e__",
		"\u200b":                   "_",
		"":                         "",
		strings.Repeat("é", 65):    strings.Repeat("é", 63) + "…",
		strings.Repeat("é", 64):    strings.Repeat("é", 64),
		strings.Repeat("x", 1<<20): strings.Repeat("x", 63) + "…",
	} {
		if got := Clean(text, 64); got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

// checkClean is what every text that came from a process must keep to.
func checkClean(t *testing.T, s string, limit int) {
	t.Helper()
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit {
		t.Errorf("%q: not valid UTF-8 or longer than %d", s, limit)
	}
	for _, r := range s {
		if unicode.IsControl(r) || !unicode.IsPrint(r) || unicode.IsMark(r) {
			t.Errorf("%q holds %U", s, r)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("qemu-system-x86_64\x00-name\x00guest=web,,1,debug-threads=on\x00-uuid\x0012345678-1234-1234-1234-123456789abc", "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope", "qemu-system-x86")
	f.Add("firecracker\x00--id=abc\x00--api-sock\x00/run/fc/api.sock", "/docker/0123", "firecracker")
	f.Add("cloud-hypervisor\x00--api-socket\x00path=/run/vm.sock", "/", "cloud-hyperviso")
	f.Add("solo5-hvt\x00--mem=1\x00test.hvt", "", "solo5-hvt")
	f.Add("\x00\x00-name", "///\\x", "\x1b")
	f.Fuzz(func(t *testing.T, cmdline, cgroup, comm string) {
		id := Identify(Process{PID: 1, Args: splitArgs([]byte(cmdline)), Cgroup: cgroup, Comm: comm})
		checkClean(t, id.Name, maxName)
		checkClean(t, id.VMM, 16)
		checkClean(t, id.Cgroup, maxCgroup)
		checkClean(t, id.UUID, 36)
		// What was cleaned stays as it is.
		if again := Clean(id.Name, maxName); again != id.Name {
			t.Errorf("%q cleaned again is %q", id.Name, again)
		}
	})
}

func FuzzParseCgroups(f *testing.F) {
	f.Add([]byte("12:cpu:/a\n0::/b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		v2, legacy := parseCgroups(text)
		for _, path := range append(legacy, v2) {
			if !strings.Contains(string(text), path) {
				t.Errorf("%q gave %q", text, path)
			}
			checkClean(t, Clean(nameFromCgroup(path), maxName), maxName)
		}
	})
}
