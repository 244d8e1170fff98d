// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
)

// Bounds of what is read from elsewhere. No honest run comes near them.
const (
	MaxFile = 1 << 30 // bytes of a run.json
	MaxID   = 256     // bytes of a run's id
	MaxName = 1000    // bytes of a name: of a system, a platform, a metric, an event …
	MaxPath = 4096    // bytes of a path or of an image's reference
)

var (
	runStatuses  = []string{RunRunning, RunOK, RunFailed, RunInterrupted}
	cellStatuses = []string{CellOK, CellFailed, CellUnsupported, CellSkipped, CellNoImage}
)

// check says what of a run no ukprobe has written. Whatever reads a file that may be from
// elsewhere asks it, so that none takes what another one refuses.
func (f *File) check() error {
	if err := f.contradiction(); err != nil {
		return fmt.Errorf("%w: no ukprobe writes that: put the file right", err)
	}
	return nil
}

func (f *File) contradiction() error {
	if err := checkHead(f); err != nil {
		return err
	}
	first := map[string]int{}
	for i := range f.Cells {
		c := &f.Cells[i]
		if err := checkCell(c); err != nil {
			return fmt.Errorf("cell %d: %w", i+1, err)
		}
		if c.Accel == "" && len(c.Samples) == 0 {
			continue // refused before there was one to choose: for each accelerator
		}
		key := strings.Join([]string{c.System, c.App, c.Platform, c.Experiment, c.Variant().String(), c.Accel, c.Probes}, "\x00")
		if n, twice := first[key]; twice {
			return fmt.Errorf("cells %d and %d are the same: %s", n, i+1, c.Name())
		}
		first[key] = i + 1
	}
	return nil
}

func checkHead(f *File) error {
	id := f.Run.ID
	switch {
	case id == "":
		return errors.New("the run has no id")
	case len(id) > MaxID:
		return fmt.Errorf("the run's id has %d bytes, more than %d", len(id), MaxID)
	case strings.ContainsFunc(id, func(r rune) bool { return r == '@' || unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return fmt.Errorf("the run's id is %q, with an @, a space or a control character", id)
	case !slices.Contains(runStatuses, f.Run.Status):
		return fmt.Errorf("the run's status is %.100q", f.Run.Status)
	}
	matrix := ""
	if f.Run.Asked != nil {
		matrix = f.Run.Asked.Matrix
	}
	return bounded(MaxName, named{"ukprobe's version", f.Run.Version}, named{"the kernel's name", f.Host.Kernel}, named{"the CPU's name", f.Host.CPUModel},
		named{"the hypervisor's name", f.Host.Hypervisor}, named{"the matrix's path", matrix})
}

func checkCell(c *Cell) error {
	if err := bounded(MaxName, named{"system", c.System}, named{"app", c.App}, named{"platform", c.Platform}, named{"experiment", c.Experiment},
		named{"accel", c.Accel}, named{"probes", c.Probes}, named{"firmware", c.Firmware}); err != nil {
		return err
	}
	if err := checkSettings(c); err != nil {
		return err
	}
	for _, n := range []named{{"system", c.System}, {"app", c.App}, {"platform", c.Platform}} {
		if n.text == "" {
			return fmt.Errorf("it has no %s", n.what)
		}
	}
	if !slices.Contains(cellStatuses, c.Status) {
		return fmt.Errorf("the status of %s is %.100q", c.Name(), c.Status)
	}
	for n := range c.Samples {
		if err := checkSample(&c.Samples[n]); err != nil {
			return fmt.Errorf("sample %d of %s: %w", n+1, c.Name(), err)
		}
	}
	for i := range c.Histograms {
		if err := bounded(MaxName, named{"a histogram's name", c.Histograms[i].Name}); err != nil {
			return fmt.Errorf("%s: %w", c.Name(), err)
		}
	}
	return nil
}

func checkSettings(c *Cell) error {
	if s := c.Settings; s != nil {
		if err := errors.Join(bounded(MaxPath, named{"settings.image", s.Image}), bounded(MaxName, named{"settings.cache", s.Cache}, named{"settings.tap", s.Tap})); err != nil {
			return err
		}
	}
	if i := c.Image; i != nil {
		return errors.Join(bounded(MaxPath, named{"image.path", i.Path}, named{"image.name", i.Name}),
			bounded(MaxName, named{"image.key", i.Key}, named{"image.sha256", i.SHA256}, named{"image.version", i.Version}))
	}
	return nil
}

func checkSample(s *Sample) error {
	if !slices.Contains(sampleStatuses, s.Status) {
		return fmt.Errorf("its status is %.100q", s.Status)
	}
	for _, phase := range phases {
		if ns := *phase.of(&s.Phases); ns != nil && *ns <= 0 {
			return fmt.Errorf("phase %s is %d ns", phase.name, *ns)
		}
		if _, taken := s.Values[phase.name]; taken {
			return fmt.Errorf("a value has the name of phase %s", phase.name)
		}
	}
	for _, e := range s.Events {
		if beforeZero(e) {
			return fmt.Errorf("event %.100s is at %d ns, before the clock's zero", e.Name, e.NS)
		}
	}
	if err := errors.Join(checkSums(s), checkNames(s)); err != nil {
		return err
	}
	for i := range s.Guests {
		if err := checkSample(&s.Guests[i]); err != nil {
			return fmt.Errorf("guest %d: %w", i+1, err)
		}
	}
	return nil
}

// sums are the phases that are made of others: where all parts are there, they are the
// whole ([Phases]).
var sums = []struct {
	whole string
	parts []string
}{
	{"total_ns", []string{"vmm_ns", "firmware_ns", "guest_ns"}},
	{"firmware_ns", []string{"bios_ns", "option_rom_ns"}},
	{"guest_ns", []string{"setup_ns", "decompress_ns", "kernel_ns"}},
}

// checkSums says which phase is not what its parts add up to.
func checkSums(s *Sample) error {
	ns := s.Phases.ByName()
	dropped := func(name string) bool { // it came out as impossible: others around it may have too
		return slices.ContainsFunc(s.Missing, func(m Missing) bool { return m.Name == name })
	}
	for _, sum := range sums {
		whole := ns[sum.whole]
		if whole == nil || slices.ContainsFunc(sum.parts, dropped) {
			continue
		}
		rest, fits := *whole, true
		var there []string
		for _, name := range sum.parts {
			part := ns[name]
			if part == nil {
				continue
			}
			there = append(there, fmt.Sprintf("%s is %d ns", name, *part))
			if fits = fits && *part <= rest; fits {
				rest -= *part
			}
		}
		if !fits || len(there) == len(sum.parts) && rest != 0 {
			return fmt.Errorf("%s is %d ns, but of its parts %s", sum.whole, *whole, strings.Join(there, " and "))
		}
	}
	return nil
}

func checkNames(s *Sample) error {
	var names []named
	for _, e := range s.Events {
		names = append(names, named{"an event's name", e.Name}, named{"an event's rung", e.Rung}, named{"an event's hook", e.Hook})
	}
	for _, m := range s.Missing {
		names = append(names, named{"the name of what is missing", m.Name})
	}
	for name := range s.Values {
		names = append(names, named{"a value's name", name})
	}
	for name := range s.Lost {
		names = append(names, named{"the name of what was lost", name})
	}
	for _, i := range s.Interference {
		names = append(names, named{"the name of what interfered", i.Name})
	}
	for _, c := range s.Claims {
		names = append(names, named{"a claim's name", c.Name})
	}
	for name := range s.Outputs {
		names = append(names, named{"an output's name", name})
	}
	for name := range s.Curves {
		names = append(names, named{"a curve's name", name})
	}
	for name := range s.Facts {
		names = append(names, named{"a fact's name", name})
	}
	for name := range s.Addresses {
		names = append(names, named{"a place's name", name})
	}
	return bounded(MaxName, names...)
}

type named struct{ what, text string }

func bounded(most int, names ...named) error {
	for _, n := range names {
		if len(n.text) > most {
			return fmt.Errorf("%s has %d bytes, more than %d: %q …", n.what, len(n.text), most, n.text[:40])
		}
	}
	return nil
}

// readBounded reads a regular file, or a pipe to its end, of not more than most bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := openReadable(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s has more than %d MiB, which no run.json has (docs/results.md): read the run from the store that it is from", path, most>>20)
	}
	return data, nil
}

// openReadable opens what ends: not a device.
func openReadable(path string) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := st.Mode(); !mode.IsRegular() && mode&os.ModeNamedPipe == 0 {
		return nil, fmt.Errorf("%s is no file and no pipe (%s): name a results folder or a run.json", path, mode)
	}
	return os.Open(path)
}
