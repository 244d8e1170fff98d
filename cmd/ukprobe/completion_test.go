// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// TestComplete asks as the scripts do.
func TestComplete(t *testing.T) {
	for _, c := range []struct {
		words string // the last one, after the last space, is completed
		want  []string
		also  string
	}{
		{"ru", []string{"run", "runs"}, alsoNothing},
		{"image ", []string{"list", "inspect", "verify", "pull", "build", "help"}, alsoNothing},
		{"image b", []string{"build"}, alsoNothing},
		{"image build ho", nil, alsoNothing},
		{"image build lup", []string{"lupine"}, alsoNothing},
		{"image build lupine gen", []string{"general"}, alsoNothing},
		{"run --ma", []string{"--matrix"}, alsoNothing},
		{"run --matrix ", []string{"boot", "full", "quick", "validate"}, alsoFiles},
		{"run --matrix=f", []string{"--matrix=full"}, alsoFiles},
		{"run --matrix full --matr", nil, alsoNothing}, // it is there
		{"run --only system=linux --onl", []string{"--only"}, alsoNothing},
		{"run --only sys", []string{"system="}, alsoNothing},
		{"run --only system=lin", []string{"system=linux"}, alsoNothing},
		{"run --only system=linux|un", []string{"system=linux|unikraft"}, alsoNothing},
		{"run --only system=linux,sys", nil, alsoNothing},
		{"run --only system=linux,exp", []string{"system=linux,experiment="}, alsoNothing},
		{"run --only experiment=mem", []string{"experiment=memory-min", "experiment=memory-use"}, alsoNothing},
		{"run --only probes=boot|n", []string{"probes=boot|none"}, alsoNothing},
		{"compare --only accel=k", []string{"accel=kvm"}, alsoNothing},
		{"compare --only va", []string{"variant="}, alsoNothing},
		{"compare --by ", []string{"system", "platform", "host", "version"}, alsoNothing},
		{"overhead --attach ra", []string{"raw_tp"}, alsoNothing},
		{"overhead --attach au", nil, alsoNothing},
		{"run --attach au", []string{"auto"}, alsoNothing},
		{"runs ", nil, alsoDirs},
		{"import --into x ", nil, alsoFiles},
		{"run --only=app=ngi", []string{"--only=app=nginx"}, alsoNothing},
		{"run --set load.du", []string{"load.duration="}, alsoNothing},
		{"run --set tap=", []string{"tap=new", "tap=keep"}, alsoNothing},
		{"run --attach t", []string{"tp_btf", "tracepoint"}, alsoNothing},
		{"run --out ", nil, alsoDirs},
		{"run --samples ", nil, alsoNothing},
		{"run --dry-run --js", []string{"--json"}, alsoNothing},
		{"watch --sort ", []string{"exits", "vmm", "time", "name"}, alsoNothing},
		{"systems osv uni", []string{"unikraft"}, alsoNothing},
		{"systems osv os", nil, alsoNothing},
		{"compare --format g", []string{"go-bench"}, alsoNothing},
		{"report --format ht", []string{"html"}, alsoNothing},
		{"report --out ", nil, alsoFiles},
		{"report --format html ", nil, alsoDirs},
		{"report dir --format ht", []string{"html"}, alsoNothing},
		{"report dir --form", []string{"--format"}, alsoNothing},
		{"report dir -- --form", nil, alsoDirs},
		{"help wat", []string{"watch"}, alsoNothing},
		{"completion ", []string{"bash", "fish", "zsh"}, alsoNothing},
		{"nosuch ", nil, alsoNothing},
		{"run --nosuch=x", nil, alsoNothing},
	} {
		found, also := complete(app(), strings.Split(c.words, " "))
		var got []string
		for _, f := range found {
			got = append(got, f.word)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || also != c.also {
			t.Errorf("%q: %s (-want +got):\n%s", c.words, also, diff)
		}
	}
	if _, text, status := ukprobe(t, "completion", "tcsh"); status != exitUsage || !strings.Contains(text, "bash, zsh or fish") {
		t.Errorf("%d, %q", status, text)
	}
}

// TestCompletableFlags: whoever adds a flag says what it takes, or that nobody can list
// that.
func TestCompletableFlags(t *testing.T) {
	open := []string{"samples", "warmup", "seed", "timeout", "listen", "rounds", "pid", "cgroup", "name", "keep", "max-vms", "memory", "user", "duration", "interval",
		"address", "rate", "requests", "connections", "push", "base", "threshold", "metric"}
	seen := map[string]bool{}
	everyFlag(app(), func(path string, f cli.Flag) {
		name := f.Names()[0]
		seen[name], seen[strings.TrimPrefix(path, "ukprobe ")+" "+name] = true, true
		if _, ok := values[name]; takesValue(f) && !ok && !slices.Contains(open, name) {
			t.Errorf("%s --%s: what does it take? An entry in values, or one in this test", path, name)
		}
	})
	for name := range values {
		if !seen[name] {
			t.Errorf("no command has --%s", name)
		}
	}
	// What it offers is understood.
	for _, typed := range []string{"", "tap=", "accel=", "cpu.aslr="} {
		for _, w := range settingWords(typed) {
			if key, _, _ := strings.Cut(w, "="); len(settingValues[key]) == 0 && typed != "" {
				t.Errorf("--set %s: %q", typed, w)
			}
		}
	}
}

// asCommand makes a folder with this program in it as ukprobe, and the scripts.
func asCommand(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := fmt.Sprintf("#!/bin/sh\nUKPROBE_TEST_MAIN=1 exec '%s' \"$@\"\n", self)
	if err := os.WriteFile(filepath.Join(dir, "ukprobe"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	for shell, file := range scripts {
		out, _, status := ukprobe(t, "completion", shell)
		if status != 0 {
			t.Fatalf("completion %s: %d", shell, status)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestShells types into real shells and presses TAB.
func TestShells(t *testing.T) {
	for shell, argv := range map[string][]string{
		"bash": {"bash", "--norc", "--noprofile", "-i"},
		"zsh":  {"zsh", "-f", "-i"},
		"fish": {"fish", "--no-config", "-i"},
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(argv[0])
			if err != nil {
				t.Skipf("needs %s: apt-get install %s", argv[0], argv[0])
			}
			dir := asCommand(t)
			if err := os.Mkdir(filepath.Join(dir, "mine.d"), 0o755); err != nil {
				t.Fatal(err)
			}
			setup := map[string]string{
				"bash": "source ./ukprobe.bash\n",
				"zsh":  "autoload -U compinit && compinit -D && source ./_ukprobe\n",
				"fish": "source ./ukprobe.fish\n",
			}[shell]
			s := startShell(t, path, argv[1:], dir)
			s.send(setup)
			for typed, want := range map[string]string{
				"ukprobe vali":                          "ukprobe validate ",
				"ukprobe run --only system=linu":        "ukprobe run --only system=linux ",
				"ukprobe run --only system=linux,exper": "ukprobe run --only system=linux,experiment=",
				"ukprobe run --set load.dur":            "ukprobe run --set load.duration=",
				"ukprobe run --resume mi":               "ukprobe run --resume mine.d/",
			} {
				s.completes(typed, want)
			}
		})
	}
}

// terminalShell is one in a pseudo-terminal.
type terminalShell struct {
	t    *testing.T
	dir  string
	keys *os.File
	n    int
}

func startShell(t *testing.T, path string, args []string, dir string) *terminalShell {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "TERM=dumb", "HOME=" + dir, "LC_ALL=C.UTF-8"}
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 200, Rows: 50})
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	go func() { // nobody looks at what it shows
		buf := make([]byte, 4096)
		for {
			if _, err := master.Read(buf); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = master.Close()
	})
	return &terminalShell{t: t, dir: dir, keys: master}
}

func (s *terminalShell) send(keys string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// completes types, presses TAB, and has the shell write the line that came of it to a
// file: the words are an argument in quotes.
func (s *terminalShell) completes(typed, want string) {
	s.t.Helper()
	s.n++
	out := filepath.Join(s.dir, fmt.Sprintf("line%d", s.n))
	// The line is completed as a command; then its beginning is put before it.
	s.send(typed + "\t" + "X'\x01printf '%s' '\x05 >" + out + ".new && mv " + out + ".new " + out + "\n")
	for {
		if text, err := os.ReadFile(out); err == nil {
			if got := strings.TrimSuffix(string(text), "X"); got != want {
				s.t.Errorf("%q TAB gives %q, want %q", typed, got, want)
			}
			return
		}
		select {
		case <-s.t.Context().Done():
			s.t.Fatalf("%q TAB: no answer", typed)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
