// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
)

// KindSetting is the journal's kind of a setting of the host: its file's path and what
// it said before.
const KindSetting journal.Kind = "host-setting"

func (k *knob) entry() journal.Entry {
	return journal.Entry{Kind: KindSetting, Name: "/" + k.path, Data: map[string]string{"was": k.was, "set": k.want}}
}

// knobPaths are the only files that are ever written.
var knobPaths = []*regexp.Regexp{
	regexp.MustCompile(`^/sys/devices/system/cpu/smt/control$`),
	regexp.MustCompile(`^/sys/devices/system/cpu/cpu\d+/cpufreq/scaling_governor$`),
	regexp.MustCompile(`^/sys/devices/system/cpu/(intel_pstate/no_turbo|cpufreq/boost)$`),
	regexp.MustCompile(`^/sys/devices/system/cpu/cpu\d+/cpuidle/state\d+/disable$`),
	regexp.MustCompile(`^/sys/kernel/mm/(transparent_hugepage/enabled|ksm/run)$`),
	regexp.MustCompile(`^/proc/sys/kernel/randomize_va_space$`),
	regexp.MustCompile(`^/proc/irq/\d+/smp_affinity_list$`),
}

// validValue is what such a file can have said.
var validValue = regexp.MustCompile(`^[A-Za-z0-9_,-]{1,1000}$`)

// UndoSetting is the journal's undoer for settings: it writes back what a file said
// before, unless it no longer says what ukprobe has written: then somebody else has set
// it since, and it is left alone ([journal.ErrNotOurs]). A file that is gone (an
// interrupt's, a CPU's) is no error. It is one that another run has set the host: putting
// back would change what that run measures.
func UndoSetting(ctx context.Context, e journal.Entry) error {
	if !settled.Load() { // else the lock is this process's own
		release, err := Hold(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	return undoSetting("/", e)
}

// Hold keeps others from setting the host until release is called, as somebody does who
// puts many settings back. The error is that another run has set it.
func Hold(ctx context.Context) (release func(), err error) {
	wait := lockWait
	if refused.Load() {
		wait = 0 // once is enough: a clean can have hundreds of settings to put back
	}
	release, err = takeLock(ctx, wait)
	if refused.Store(err != nil); err != nil {
		return nil, fmt.Errorf("another run of ukprobe has set the host: after its end, `ukprobe clean` once more: %w", err)
	}
	return release, nil
}

func undoSetting(root string, e journal.Entry) error {
	k := knob{path: strings.TrimPrefix(e.Name, "/"), want: e.Data["set"], was: e.Data["was"], list: strings.HasPrefix(e.Name, "/proc/irq/")}
	known := false
	for _, re := range knobPaths {
		known = known || re.MatchString(e.Name)
	}
	if !known || !validValue.MatchString(k.was) || !validValue.MatchString(k.want) {
		return fmt.Errorf("%q is not a setting of ukprobe: left alone", e.Name)
	}
	file := filepath.Join(root, k.path)
	now, err := readKnob(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("put %s back to %s: %w", e.Name, k.was, err)
	}
	before := knob{want: k.was, list: k.list}
	if before.holds(now) {
		return nil
	}
	if !k.holds(now) {
		return fmt.Errorf("%w: it says %s, which this run did not write", journal.ErrNotOurs, now)
	}
	if err := writeKnob(file, k.was); err != nil {
		return fmt.Errorf("put %s back to %s: %w: run as root", e.Name, k.was, err)
	}
	if now, err = readKnob(file); err != nil {
		return fmt.Errorf("put %s back to %s: %w", e.Name, k.was, err)
	}
	if !before.holds(now) {
		return fmt.Errorf("put %s back to %s: it says %s", e.Name, k.was, now)
	}
	return nil
}

// readKnob reads what a file says: of several words the one in brackets.
func readKnob(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(raw))
	if _, after, ok := strings.Cut(text, "["); ok {
		if word, _, ok := strings.Cut(after, "]"); ok {
			return word, nil
		}
	}
	return text, nil
}

// writeKnob writes to a file that must be there: never makes one.
func writeKnob(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
