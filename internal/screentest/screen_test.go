// SPDX-License-Identifier: Apache-2.0

package screentest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// failing keeps why a test would have failed.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// What is never shown ends the test, with what the screen has instead.
func TestNeverShown(t *testing.T) {
	s := New(t, 40, 5)
	s.Mark(t, "something else")
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.wait(f, 10*time.Millisecond, "it", func() bool { return false })
	}()
	<-done
	for _, want := range []string{`never shown: "it"`, "more than 10ms", "something else"} {
		if !strings.Contains(f.why, want) {
			t.Errorf("%q, want %q in it", f.why, want)
		}
	}
}
