// SPDX-License-Identifier: Apache-2.0

package interference

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strconv"
	"strings"
	"time"
)

// host is where the kernel's files are.
type host struct {
	root     fs.FS
	groupDir string // of the run's cgroup
}

// Tick is how finely /proc/stat tells times: USER_HZ, 100 on every architecture that
// KVM runs on (include/asm-generic/param.h; proc_stat(5)).
const Tick = 10 * time.Millisecond

// readings are what the host's files say, or by how much it grew.
type readings struct {
	steal map[int]time.Duration // of each CPU; nil where /proc/stat does not tell
	// throttled is how long cgroups with a quota were kept from running, the longest
	// of those that the guests are in: one within another counts the same time. -1
	// where no group has the counter.
	throttled map[string]time.Duration
	// heat is how often a CPU or its package was slowed down by heat; no entry where
	// the CPU does not count it.
	heat map[int]uint64
}

func (h host) read(cpus []int) readings {
	r := readings{throttled: h.throttled(), heat: h.heat(cpus)}
	raw, err := fs.ReadFile(h.root, "proc/stat")
	if err != nil {
		return r
	}
	all := parseSteal(string(raw))
	for _, c := range cpus {
		if t, ok := all[c]; ok {
			if r.steal == nil {
				r.steal = map[int]time.Duration{}
			}
			r.steal[c] = t
		}
	}
	return r
}

// since is by how much the readings have grown. What is not in both is in neither.
func (r readings) since(before readings) readings {
	return readings{steal: grown(r.steal, before.steal), throttled: grown(r.throttled, before.throttled), heat: grown(r.heat, before.heat)}
}

func grown[K comparable, V time.Duration | uint64](now, before map[K]V) map[K]V {
	var out map[K]V
	for k, v := range now {
		old, ok := before[k]
		if !ok || v < old {
			continue
		}
		if out == nil {
			out = map[K]V{}
		}
		out[k] = v - old
	}
	return out
}

// certain is what of the differences was in the time that counts, if so much more was
// looked at: the kernel does not tell when it was.
func (r readings) certain(outside time.Duration) readings {
	r.steal, r.throttled = lessened(r.steal, outside), lessened(r.throttled, outside)
	return r
}

func lessened[K comparable](of map[K]time.Duration, by time.Duration) map[K]time.Duration {
	out := maps.Clone(of)
	for k, v := range out {
		out[k] = max(v-by, 0)
	}
	return out
}

// add adds differences.
func (r *readings) add(d readings) {
	r.steal, r.throttled, r.heat = summed(r.steal, d.steal), summed(r.throttled, d.throttled), summed(r.heat, d.heat)
}

func summed[K comparable, V time.Duration | uint64](sum, d map[K]V) map[K]V {
	for k, v := range d {
		if sum == nil {
			sum = map[K]V{}
		}
		sum[k] += v
	}
	return sum
}

// parseSteal reads, by CPU, the time that a hypervisor below has given to others, out
// of the text of /proc/stat: the eighth number of a line "cpuN".
func parseSteal(stat string) map[int]time.Duration {
	out := map[int]time.Duration{}
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) < 9 || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		cpu, errCPU := strconv.Atoi(f[0][len("cpu"):])
		ticks, err := strconv.ParseInt(f[8], 10, 64)
		if errCPU != nil || err != nil || cpu < 0 || ticks < 0 || ticks > int64(1<<62/Tick) {
			continue
		}
		out[cpu] = time.Duration(ticks) * Tick
	}
	return out
}

// throttled reads the counters of the groups that a guest's tasks are in: the run's in
// cgroup v2 and those above it, and in cgroup v1 the one of controller cpu that ukprobe
// is in, which its children inherit.
func (h host) throttled() map[string]time.Duration {
	out := map[string]time.Duration{}
	// h.groupDir is MOUNT/ukprobe/RUN. In a cgroup namespace the mount point's own group is
	// a container's, which can have a quota; that of the host cannot, and does not tell.
	for _, dir := range []string{h.groupDir, path.Dir(h.groupDir), path.Dir(path.Dir(h.groupDir))} {
		h.readThrottled(strings.TrimPrefix(dir, "/")+"/cpu.stat", out)
	}
	raw, err := fs.ReadFile(h.root, "proc/self/cgroup")
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || !hasWord(f[1], "cpu") {
			continue
		}
		for dir := path.Clean("/" + f[2]); ; dir = path.Dir(dir) {
			h.readThrottled(path.Join("sys/fs/cgroup/cpu", dir, "cpu.stat"), out)
			if dir == "/" {
				break
			}
		}
	}
	return out
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

func (h host) readThrottled(file string, out map[string]time.Duration) {
	raw, err := fs.ReadFile(h.root, file)
	if err != nil {
		return
	}
	if t, ok := parseThrottled(string(raw)); ok {
		out[file] = t
	}
}

// parseThrottled reads a cpu.stat: throttled_usec in cgroup v2, throttled_time in ns in
// v1. A v2 group without controller cpu has a cpu.stat without it.
func parseThrottled(text string) (time.Duration, bool) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		unit := map[string]time.Duration{"throttled_usec": time.Microsecond, "throttled_time": time.Nanosecond}[key]
		if unit == 0 {
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 || n > int64(1<<62/unit) {
			return 0, false
		}
		return time.Duration(n) * unit, true
	}
	return 0, false
}

// heat reads how often each CPU, or its package, was slowed down by heat: Intel's
// machine check code alone counts that (Documentation/ABI/testing/sysfs-devices-system-cpu).
func (h host) heat(cpus []int) map[int]uint64 {
	out := map[int]uint64{}
	for _, c := range cpus {
		for _, file := range []string{"core_throttle_count", "package_throttle_count"} {
			raw, err := fs.ReadFile(h.root, fmt.Sprintf("sys/devices/system/cpu/cpu%d/thermal_throttle/%s", c, file))
			if err != nil {
				continue
			}
			if n, err := strconv.ParseUint(oneLine(raw), 10, 64); err == nil {
				out[c] += n
			}
		}
	}
	return out
}

func oneLine(raw []byte) string { return strings.TrimSpace(string(raw)) }

func irqDir(irq int) string { return fmt.Sprintf("sys/kernel/irq/%d/", irq) }

func irqNumber(irq int) string { return fmt.Sprintf("irq %d", irq) }
