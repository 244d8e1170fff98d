// SPDX-License-Identifier: Apache-2.0

// Package firecracker knows Firecracker from outside: how its binary and its jailer
// are called, the requests of its API and what they are called in which version
// (0.18 to 1.16 and a little beyond), and which kernel files it loads.
//
// It starts no microVM, and knows nothing of how one is measured.
//
// Sources: firecracker-microvm/firecracker, CHANGELOG.md and the API's description
// in the versions named (api_server/swagger, later src/firecracker/swagger).
package firecracker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// MicroVM is what a microVM is to be.
type MicroVM struct {
	VCPUs     int
	MemoryMiB int
	Kernel    string // path, as Firecracker sees it
	Initrd    string // likewise, or ""
	Cmdline   string // "" is no word at all, not Firecracker's own default
	Drives    []Drive
	NICs      []NIC
	// Log is the file that Firecracker writes its log to, for versions that are
	// told by their API (see [Args] for the others); "" for none.
	Log string
}

// Drive is a block device. The file is raw.
type Drive struct {
	ID       string
	Path     string // as Firecracker sees it
	Root     bool   // Firecracker adds root=/dev/vda to the command line
	ReadOnly bool
}

// NIC is a network device.
type NIC struct {
	ID  string
	Tap string // the host's device
	MAC string
}

// Call is a request of the API.
type Call struct {
	Method, Path string
	Body         string // JSON
}

// String names the call in errors.
func (c Call) String() string { return c.Method + " " + c.Path }

// Start is the request that starts the microVM. Its answer comes when the vCPUs run.
func Start() Call { return put("/actions", map[string]string{"action_type": "InstanceStart"}) }

// Calls are the requests that make the microVM before it is started, in order, for
// a version.
//
// Field names, by version: ht_enabled, required, became smt in 1.0; initrd_path is
// there since 0.21, log_fifo and metrics_fifo until 0.21 (then the log is told on
// the command line).
func (m MicroVM) Calls(v Version) ([]Call, error) {
	if m.Initrd != "" && v.Before(initrdSince) {
		return nil, fmt.Errorf("firecracker %s takes no initrd, the first that does is %s: give the guest a disk instead (disk: in the cell)", v, initrdSince)
	}
	if len(m.Drives)+len(m.NICs) > 0 && v.Before(initArgsSince) && slices.Contains(strings.Fields(m.Cmdline), "--") {
		return nil, fmt.Errorf("firecracker %s tells the kernel of its devices behind the -- of the command line, where that does not look for them: leave -- out, or use %s or newer", v, initArgsSince)
	}
	var out []Call
	if m.Log != "" && v.Before(logArgsSince) {
		out = append(out, put("/logger", oldLogger{LogFIFO: m.Log, MetricsFIFO: "/dev/null", Level: logLevel}))
	}
	out = append(out, put("/machine-config", m.machineConfig(v)),
		put("/boot-source", bootSource{KernelImagePath: m.Kernel, InitrdPath: m.Initrd, BootArgs: m.Cmdline}))
	for _, d := range m.Drives {
		out = append(out, put("/drives/"+d.ID, drive{DriveID: d.ID, PathOnHost: d.Path, IsRootDevice: d.Root, IsReadOnly: d.ReadOnly}))
	}
	for _, n := range m.NICs {
		out = append(out, put("/network-interfaces/"+n.ID, networkInterface{IfaceID: n.ID, HostDevName: n.Tap, GuestMAC: n.MAC}))
	}
	return out, nil
}

// machineConfig: no SMT topology is shown to the guest, as is the default.
func (m MicroVM) machineConfig(v Version) machineConfig {
	off := false
	c := machineConfig{VCPUCount: m.VCPUs, MemSizeMiB: m.MemoryMiB}
	if v.Before(smtSince) {
		c.HTEnabled = &off
	} else {
		c.SMT = &off
	}
	return c
}

// The bodies, with the API's own names.
type (
	machineConfig struct {
		VCPUCount  int   `json:"vcpu_count"`
		MemSizeMiB int   `json:"mem_size_mib"`
		HTEnabled  *bool `json:"ht_enabled,omitempty"`
		SMT        *bool `json:"smt,omitempty"`
	}
	bootSource struct {
		KernelImagePath string `json:"kernel_image_path"`
		InitrdPath      string `json:"initrd_path,omitempty"`
		BootArgs        string `json:"boot_args"` // absent would mean Firecracker's default
	}
	drive struct {
		DriveID      string `json:"drive_id"`
		PathOnHost   string `json:"path_on_host"`
		IsRootDevice bool   `json:"is_root_device"`
		IsReadOnly   bool   `json:"is_read_only"`
	}
	networkInterface struct {
		IfaceID     string `json:"iface_id"`
		HostDevName string `json:"host_dev_name"`
		GuestMAC    string `json:"guest_mac,omitempty"`
	}
	oldLogger struct {
		LogFIFO     string `json:"log_fifo"`
		MetricsFIFO string `json:"metrics_fifo"`
		Level       string `json:"level"`
	}
)

func put(path string, body any) Call {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("firecracker: body of %s: %v", path, err)) // strings, numbers and booleans only
	}
	return Call{Method: http.MethodPut, Path: path, Body: string(text)}
}

// logLevel is the one at which Firecracker tells its guest's boot time.
const logLevel = "Info"

// Args are the words after the binary's name, for an API socket. log is the file for
// its log, "" for none (then it goes to standard output from 1.5 on, into the guest's
// console).
//
// The boot timer, on which a guest writes that it has booted, is always there before
// 0.23, and afterwards only if asked for: without it that write would hit another
// device. The seccomp filters are left on, as in production.
func Args(v Version, socket, log string) []string {
	args := []string{"--api-sock", socket}
	if v.Unknown() {
		return args
	}
	if log != "" && !v.Before(logArgsSince) {
		args = append(args, "--log-path", log, "--level", logLevel)
	}
	if !v.Before(bootTimerSince) {
		args = append(args, "--boot-timer")
	}
	return args
}

// Jail is how the jailer runs a Firecracker.
type Jail struct {
	Jailer      string // path
	Firecracker string // path of the binary; its name has "firecracker" in it
	ID          string // letters, digits and dashes, at most 64
	UID, GID    int
	Base        string // folder in which the jail is made
}

// Argv is the jailer's command line. args are Firecracker's own, with paths as they
// are inside the jail. No cgroup is asked for, so that the jailer leaves its process
// in the one where it was started; that is so from 0.23 on.
func (j Jail) Argv(v Version, args []string) ([]string, error) {
	if v.Unknown() || v.Before(jailerSince) {
		return nil, fmt.Errorf("firecracker %s with its jailer: the jailer leaves a process in its cgroup only from %s on", v, jailerSince)
	}
	argv := []string{j.Jailer, "--id", j.ID, "--exec-file", j.Firecracker,
		"--uid", strconv.Itoa(j.UID), "--gid", strconv.Itoa(j.GID), "--chroot-base-dir", j.Base, "--"}
	return append(argv, args...), nil
}
