// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/ukprobe/ukprobe/internal/hostfile"
)

// option is a kernel option and what is lost without it.
type option struct {
	name    string
	lost    string
	without Status // the verdict then
}

// options in the order of their weight. README's table of requirements says the
// same.
var options = []option{
	{"CONFIG_BPF_SYSCALL", "everything", Fail},
	{"CONFIG_DEBUG_INFO_BTF", "everything: programs find the kernel's structures by BTF", Fail},
	{"CONFIG_CGROUPS", "everything: a guest is told from the rest of the host by its cgroup", Fail},
	{"CONFIG_NET_NS", "everything: the laboratory's network is in a namespace of its own", Fail},
	{"CONFIG_BRIDGE", "everything: the laboratory's network", Fail},
	{"CONFIG_BPF_JIT", "fentry; every other hook is dearer, for it is interpreted", Warn},
	{"CONFIG_FUNCTION_TRACER", "fentry", Warn},
	{"CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "fentry", Warn},
	{"CONFIG_KPROBES", "kprobe; vm_created and vcpu_created come from system calls if fentry is lost too", Warn},
	{"CONFIG_KPROBE_EVENTS", "kprobe", Warn},
	{"CONFIG_BPF_EVENTS", "kprobe, raw_tp and tracepoint", Warn},
	{"CONFIG_KVM", "every event inside a guest's boot; guests run under TCG", Fail},
	{"CONFIG_TUN", "the network of guests (qemu1nic, qemumicrovm)", Fail},
	{"CONFIG_VETH", "the network of system process", Fail},
	{"CONFIG_NET_XGRESS", "tcx; clsact is taken", Warn}, // Linux 6.6
	{"CONFIG_NET_SCH_INGRESS", "clsact; tcx (Linux 6.6) is enough", Warn},
	{"CONFIG_NET_CLS_BPF", "clsact; tcx (Linux 6.6) is enough", Warn},
}

// config judges the kernel's configuration. A module that is not loaded yet is
// as good as one that is. Nothing here decides whether a run is possible: that
// is tried.
func config(root fs.FS, release string) []Check {
	const g = group(groupConfig)
	values, from, err := readConfig(root, release)
	if err != nil {
		return []Check{g.warn("config", "not readable: "+err.Error(), "nothing to do if the hooks below are attached; else install the kernel's config file")}
	}
	var out []Check
	for _, o := range options {
		c := g.check(o.name, OK, values[o.name], "")
		switch c.Found {
		case "y":
		case "m":
			c.Found = "m (a module)"
		default:
			c.Found, c.Status = "not set. Lost: "+o.lost, o.without
			c.Remedy = "boot a kernel that has it (Debian's linux-image-amd64), or build one"
		}
		out = append(out, c)
	}
	return append([]Check{g.ok("config", "read from /"+from)}, out...)
}

// readConfig finds the running kernel's configuration.
func readConfig(root fs.FS, release string) (values map[string]string, from string, err error) {
	paths := []string{"proc/config.gz", "boot/config-" + release, "lib/modules/" + release + "/config", "usr/lib/modules/" + release + "/config"}
	var tried []string
	for _, p := range paths {
		raw, err := fs.ReadFile(root, p)
		if err == nil && strings.HasSuffix(p, ".gz") {
			raw, err = gunzip(raw)
		}
		if err == nil {
			return parseConfig(string(raw)), p, nil
		}
		tried = append(tried, hostfile.NotRead(p, err))
	}
	return nil, "", fmt.Errorf("%s", strings.Join(tried, ", "))
}

func gunzip(raw []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// parseConfig reads a .config: options that are set, as they are written.
func parseConfig(text string) map[string]string {
	out := map[string]string{}
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if name, value, ok := strings.Cut(l, "="); ok && strings.HasPrefix(name, "CONFIG_") {
			out[name] = value
		}
	}
	return out
}
