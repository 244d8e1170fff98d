// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be a process that drops its privileges.
func TestMain(m *testing.M) {
	if who, ok := os.LookupEnv("UKPROBE_TEST_DROP"); ok {
		os.Exit(dropAndShow(who))
	}
	os.Exit(m.Run())
}

// dropAndShow keeps several threads busy, drops, and prints what each thread and
// a new one may.
func dropAndShow(who string) int {
	for range 4 {
		go func() { runtime.LockOSThread(); time.Sleep(time.Hour) }()
	}
	var as *user.User
	if who != "" {
		as = &user.User{Username: who, Uid: "65534", Gid: "65534"}
	}
	before, after, err := Drop(as, CapSet(unix.CAP_BPF, unix.CAP_NET_ADMIN))
	if err != nil {
		fmt.Println("error:", err)
		return 3
	}
	fmt.Printf("before %s after %s\n", before.Caps, after.Caps)
	started := make(chan struct{})
	go func() { runtime.LockOSThread(); close(started); time.Sleep(time.Hour) }()
	<-started
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) < 5 {
		fmt.Println("error:", tasks, err)
		return 3
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			fmt.Println("error:", err)
			return 3
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "Uid") || strings.HasPrefix(line, "Gid") || strings.HasPrefix(line, "Groups") {
				fmt.Print("thread ", strings.Join(strings.Fields(line), " "), "\n")
			}
		}
	}
	// A program with the set-user-ID bit would get nothing back either.
	out, err := exec.Command("grep", "CapEff", "/proc/self/status").CombinedOutput()
	fmt.Printf("child %s %v\n", strings.Join(strings.Fields(string(out)), " "), err)
	return 0
}

func TestDrop(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: there is nothing to drop")
	}
	const kept = 1<<unix.CAP_BPF | 1<<unix.CAP_NET_ADMIN
	for who, uid := range map[string]string{"": "0", "nobody": "65534"} {
		t.Run("as "+who, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), "UKPROBE_TEST_DROP="+who)
			text, err := cmd.Output()
			if strings.Contains(string(text), "was built with cgo") {
				t.Skip("this test was built with cgo: CGO_ENABLED=0 go test ./watch (test/e2e has it for ukprobe itself)")
			}
			if err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			want := map[string]string{
				"Uid:": strings.Repeat(" "+uid, 4), "Gid:": strings.Repeat(" "+uid, 4),
				"CapInh:": fmt.Sprintf(" %016x", 0), "CapPrm:": fmt.Sprintf(" %016x", uint64(kept)), "CapEff:": fmt.Sprintf(" %016x", uint64(kept)),
				"CapBnd:": fmt.Sprintf(" %016x", uint64(kept)), "CapAmb:": fmt.Sprintf(" %016x", 0), "NoNewPrivs:": " 1",
			}
			threads := 0
			sc := bufio.NewScanner(strings.NewReader(string(text)))
			for sc.Scan() {
				line, ok := strings.CutPrefix(sc.Text(), "thread ")
				if !ok {
					continue
				}
				key, value, _ := strings.Cut(line, ":")
				if w, ok := want[key+":"]; ok && value != w {
					t.Errorf("a thread has %q, want %q", line, key+":"+w)
				}
				if key == "CapEff" {
					threads++
				}
			}
			if threads < 5 {
				t.Errorf("%d threads were seen:\n%s", threads, text)
			}
			// As root a program that is started gets what the bounding set leaves.
			child := map[string]string{"": fmt.Sprintf("child CapEff: %016x <nil>", uint64(kept)), "nobody": fmt.Sprintf("child CapEff: %016x <nil>", 0)}[who]
			if !strings.Contains(string(text), child) {
				t.Errorf("want %q in\n%s", child, text)
			}
		})
	}
}

func TestCapsText(t *testing.T) {
	for s, want := range map[Caps]string{0: "none", CapSet(unix.CAP_CHOWN): "cap_chown", CapSet(unix.CAP_BPF, unix.CAP_PERFMON): "cap_perfmon,cap_bpf", 1 << 60: "cap_60"} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if len(capNames) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names of %d capabilities", len(capNames), unix.CAP_LAST_CAP+1)
	}
}
