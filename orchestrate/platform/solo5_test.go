// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/askprogram"
	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/internal/solo5/solo5test"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// solo5Files is a folder with images and, apart from them, tenders that say what
// real ones said (testdata/tenders) and do nothing else.
type solo5Files struct {
	t        *testing.T
	dir, bin string
}

func newSolo5Files(t *testing.T) solo5Files {
	f := solo5Files{t, t.TempDir(), t.TempDir()}
	t.Setenv("PATH", f.bin)
	return f
}

// image writes an image with the given devices: (name, type) one after the other.
func (f solo5Files) image(name string, target, version uint32, devices ...any) string {
	entries := [][]byte{solo5test.First()}
	for i := 0; i < len(devices); i += 2 {
		entries = append(entries, solo5test.Entry(devices[i].(string), uint32(devices[i+1].(int))))
	}
	return f.write(filepath.Join(f.dir, name), solo5test.File(solo5test.ABI(target, version), solo5test.Manifest(entries...)), 0o644)
}

func (f solo5Files) write(path string, data []byte, mode os.FileMode) string {
	f.t.Helper()
	if err := errors.Join(os.WriteFile(path, data, mode), os.Chmod(path, mode)); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// tender puts a program there that answers --version as the real one did.
func (f solo5Files) tender(dir, program, said string) string {
	f.t.Helper()
	text, err := filepath.Abs(filepath.Join("testdata/tenders", said))
	if err != nil {
		f.t.Fatal(err)
	}
	return f.write(filepath.Join(dir, program), []byte("#!/bin/sh\n[ \"$1\" = --version ] && exec /bin/cat "+text+" >&2\nexit 3\n"), 0o755)
}

func (f solo5Files) qemu() {
	f.write(filepath.Join(f.bin, qemuProgram()), []byte("#!/bin/sh\n"), 0o755)
}

const (
	blockType = 1
	netType   = 2
)

// TestSolo5Argv: each target and both command lines, word by word. The forms are those
// of Solo5's docs/building.md and scripts/virtio-run/solo5-virtio-run.sh, of E21's
// fig_13 impl/mirage-solo5-httpreply.sh (new) and of Lupine's
// scripts/benchmark_apps.sh (old).
func TestSolo5Argv(t *testing.T) {
	f := newSolo5Files(t)
	f.tender(f.bin, "solo5-hvt", "hvt-0.12.1.txt")
	f.tender(f.bin, "solo5-spt", "hvt-0.12.1.txt") // spt says the same but for its name
	f.qemu()
	old := filepath.Join(f.dir, "old")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	f.tender(old, "solo5-hvt", "hvt-lupine.txt")
	f.tender(old, "solo5-spt", "spt-lupine.txt")
	oldImage := f.write(filepath.Join(old, "nginx.hvt"), solo5test.File(), 0o644)
	disk := []system.Disk{{Path: "/images/data.iso", Format: "raw"}}
	const mirage = "--ipv4=198.18.0.9/24 --ipv4-gateway=198.18.0.1"
	const rump = `{"cmdline":"nginx.hvt -c /data/conf/nginx.conf","net":{"if":"ukvmif0"}}`
	var out strings.Builder
	for _, tt := range []struct {
		name, platform, accel, cmdline string
		boot                           system.Boot
	}{
		{"no devices", "solo5-hvt", KVM, "", system.Boot{Kernel: f.image("hello.hvt", 1, 2)}},
		{"MirageOS's web server", "solo5-hvt", KVM, mirage, system.Boot{Kernel: f.image("https.hvt", 1, 2, "service", netType)}},
		{"the same", "solo5-spt", None, mirage, system.Boot{Kernel: f.image("https.spt", 2, 2, "service", netType)}},
		{"the same", "solo5-virtio", TCG, mirage, system.Boot{Kernel: f.image("https.virtio", 3, 1, "service", netType)}},
		{"rump with its two devices", "solo5-hvt", KVM, rump, system.Boot{Kernel: f.image("nginx.bin", 1, 2, "rootfs", blockType, "tap", netType), Disks: disk}},
		{"two disks, one named, in the manifest's order", "solo5-hvt", KVM, "", system.Boot{Kernel: f.image("two.hvt", 1, 2, "a", blockType, "b", blockType),
			Disks: []system.Disk{{Path: "/images/x.raw"}, {Path: "/images/a.raw", Name: "a"}}}},
		{"a disk", "solo5-virtio", KVM, "a,b", system.Boot{Kernel: f.image("blk.virtio", 3, 1, "storage", blockType), Disks: []system.Disk{{Path: "/images/a,b.raw"}}}},
		{"the old command line, of rump's nginx", "solo5-hvt", KVM, rump, system.Boot{Kernel: oldImage, Disks: disk}},
		{"the old command line, without a disk", "solo5-spt", None, rump, system.Boot{Kernel: oldImage}},
	} {
		p, err := Find(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		nic := guestNIC()
		l, err := p.Launch(tt.boot, Resources{MemoryMiB: 512, VCPUs: 1, Accel: tt.accel}, &nic, tt.cmdline)
		if err != nil {
			t.Fatalf("%s, %s: %v", tt.platform, tt.name, err)
		}
		fmt.Fprintf(&out, "# %s, %s, %s\nconsole port 0x%x, write %v; idle port 0x%x; accel %s; env %q; copies %v\n", tt.platform, tt.accel, tt.name, l.Console.Port, l.Console.Write, l.IdlePort, l.Accel, l.Env, l.Copies)
		for _, arg := range l.Argv {
			arg = strings.ReplaceAll(strings.ReplaceAll(arg, f.dir, "/images"), f.bin, "/path/to")
			fmt.Fprintf(&out, "%s\n", arg)
		}
		out.WriteString("\n")
	}
	golden.Check(t, "solo5.txt", out.String())
}

// TestSolo5Refuses: what does not fit is said with what is missing, and where a cell
// can never be it is unsupported.
func TestSolo5Refuses(t *testing.T) {
	f := newSolo5Files(t)
	f.tender(f.bin, "solo5-hvt", "hvt-0.12.1.txt")
	f.tender(f.bin, "solo5-spt", "hvt-0.12.1.txt")
	f.qemu()
	disk := system.Disk{Path: "/images/data.raw", Format: "raw"}
	hello, blk := f.image("hello.hvt", 1, 2), f.image("blk.hvt", 1, 2, "storage", blockType)
	for _, tt := range []struct {
		platform    string
		boot        system.Boot
		r           Resources
		cmdline     string
		noNIC       bool
		unsupported bool
		text        string
	}{
		{platform: "solo5-hvt", boot: system.Boot{Kernel: f.image("hello.spt", 2, 2)}, unsupported: true, text: "hello.spt is built for Solo5's target spt, platform solo5-hvt takes hvt"},
		{platform: "solo5-spt", boot: system.Boot{Kernel: hello}, unsupported: true, text: "hello.hvt is built for Solo5's target hvt, platform solo5-spt takes spt"},
		{platform: "solo5-virtio", boot: system.Boot{Kernel: hello}, unsupported: true, text: "hello.hvt is built for Solo5's target hvt, platform solo5-virtio takes virtio"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: f.image("xen.xen", 6, 1)}, unsupported: true, text: "is built for Solo5's target xen, platform solo5-hvt takes hvt"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: f.image("2if.hvt", 1, 2, "service0", netType, "service1", netType)}, unsupported: true, text: "declares 2 network devices (service0, service1), and a guest of the laboratory has one"},
		{platform: "solo5-virtio", boot: system.Boot{Kernel: f.image("2blk.virtio", 3, 1, "a", blockType, "b", blockType)}, unsupported: true, text: "declares 2 block devices (a, b), and the virtio target has one"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: f.image("net.hvt", 1, 2, "service", netType)}, noNIC: true, text: `net.hvt declares the network device "service", and the cell has none`},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: blk}, text: `blk.hvt declares the block device "storage", and the cell has no disk for it: name one (disk: in the cell)`},
		{platform: "solo5-virtio", boot: system.Boot{Kernel: f.image("blk.virtio", 3, 1, "storage", blockType)}, text: `declares the block device "storage"`},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: hello, Disks: []system.Disk{disk}}, text: "the cell has the disk /images/data.raw, for which image " + hello + " declares no device (it declares no block devices)"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: blk, Disks: []system.Disk{disk, {Path: "/b", Name: "other"}}}, text: "the disk /b, named other, for which image " + blk + " declares no device (it declares 1 block devices (storage))"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: blk, Disks: []system.Disk{{Path: "/b.qcow2", Format: "qcow2"}}}, text: "disk /b.qcow2 is qcow2, and Solo5 takes raw images only: qemu-img convert"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: f.image("abi.hvt", 1, 1)}, text: "abi.hvt is for version 1 of the hvt interface, " + f.bin + "/solo5-hvt (v0.12.1-7-g469c1a8) has version 2"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: f.write(filepath.Join(f.dir, "none.elf"), solo5test.File(), 0o644)}, text: "none.elf: no Solo5 notes in it"},
		{platform: "solo5-virtio", boot: system.Boot{Kernel: f.write(filepath.Join(f.dir, "none.virtio"), solo5test.File(), 0o644)}, text: "none.virtio: no Solo5 notes in it"},
		{platform: "solo5-virtio", boot: system.Boot{Kernel: f.image("a b.virtio", 3, 1)}, text: "the guest takes it to end at the first blank: rename it"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: filepath.Join(f.dir, "nothing.hvt")}, text: "nothing.hvt: no such file or directory"},
		{platform: "solo5-hvt", boot: system.Boot{RootFS: "/root"}, unsupported: true, text: "platform solo5-hvt boots Solo5 images; this system has none"},
		{platform: "solo5-spt", boot: system.Boot{Kernel: system.Unbuilt}, text: "no image: platform solo5-spt takes its devices from the image"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: hello, Initrd: "/initrd"}, unsupported: true, text: "a Solo5 image takes no initrd"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: hello}, r: Resources{VCPUs: 2}, unsupported: true, text: "a Solo5 guest has one CPU: vcpus: 2"},
		{platform: "solo5-hvt", boot: system.Boot{Kernel: hello}, cmdline: strings.Repeat("x", 8192), text: "a command line of 8192 bytes: a Solo5 guest takes 8191"},
	} {
		p, err := Find(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		nic := guestNIC()
		var given *network.Guest
		if !tt.noNIC {
			given = &nic
		}
		_, err = p.Launch(tt.boot, tt.r, given, tt.cmdline)
		if err == nil || !strings.Contains(err.Error(), tt.text) || errors.Is(err, system.ErrUnsupported) != tt.unsupported {
			t.Errorf("%s: %v\nwant %q, unsupported %v", tt.platform, err, tt.text, tt.unsupported)
		}
	}
}

// TestFindTender: the one beside the image comes first, if nobody else can change it.
func TestFindTender(t *testing.T) {
	f := newSolo5Files(t)
	kernel := filepath.Join(f.dir, "x.hvt")
	find := func(want, text string) {
		t.Helper()
		got, err := findTender("solo5-hvt", kernel)
		if got.path != want || (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%q, %v; want %q, %q", got.path, err, want, text)
		}
	}
	find("", "nor beside "+kernel+": build Solo5 and put its tender there or into PATH")
	inPath := f.tender(f.bin, "solo5-hvt", "hvt-0.12.1.txt")
	find(inPath, "")
	beside := f.tender(f.dir, "solo5-hvt", "hvt-0.12.1.txt")
	find(beside, "")
	for _, mode := range []os.FileMode{0o775, 0o757} {
		if err := os.Chmod(beside, mode); err != nil {
			t.Fatal(err)
		}
		find("", "lies beside the image, and others can change it")
	}
	if err := os.Chmod(beside, 0o644); err != nil {
		t.Fatal(err)
	}
	find("", "lies beside the image and is no program")
	if os.Geteuid() == 0 { // it can be given away
		if err := errors.Join(os.Chmod(beside, 0o755), os.Chown(beside, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		find("", "others can change it")
	}
}

// TestTrusted: nobody else can change what is started, nor put another into its place.
func TestTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give folders away")
	}
	const mallory = 65534
	for name, tt := range map[string]struct {
		change func(dir, tender string) error
		want   string
	}{
		"ours":             {func(_, _ string) error { return nil }, ""},
		"sticky":           {func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, ""},
		"folder for all":   {func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "others can put another there"},
		"folder of a team": {func(dir, _ string) error { return os.Chmod(dir, 0o775) }, "others can put another there"},
		"mallory's folder": {func(dir, _ string) error { return os.Chown(dir, mallory, mallory) }, "others can put another there"},
		"a folder above":   {func(dir, _ string) error { return os.Chown(filepath.Dir(dir), mallory, mallory) }, "for they can write to "},
		"a link to a good program": {func(_, tender string) error {
			return errors.Join(os.Rename(tender, tender+"-real"), os.Symlink(tender+"-real", tender))
		}, "is a link"},
		"nothing": {func(_, tender string) error { return os.Remove(tender) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "above", "images")
			tender := filepath.Join(dir, "solo5-hvt")
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(tender, nil, 0o755), tt.change(dir, tender)); err != nil {
				t.Fatal(err)
			}
			// Also by a link to the folder, which is followed once.
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{tender, filepath.Join(link, "solo5-hvt")} {
				got, err := trusted(path)
				switch {
				case tt.want == "" && (err != nil || got != tender):
					t.Errorf("%s: %q, %v, want %s", path, got, err, tender)
				case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("%s: %q, %v, want %q", path, got, err, tt.want)
				}
			}
		})
	}
}

// TestTenderAskedOnce: a run of a thousand samples asks a tender once, and again if
// its file has changed.
func TestTenderAskedOnce(t *testing.T) {
	f := newSolo5Files(t)
	count := filepath.Join(f.dir, "count")
	script := "#!/bin/sh\necho x >> " + count + "\necho 'solo5-hvt tender, version v1'\necho 'ABI version 2'\n"
	path := f.write(filepath.Join(f.bin, "solo5-hvt"), []byte(script), 0o755)
	for i, want := range []int{2, 2, 4} { // bytes
		if i == 2 {
			f.write(path, []byte(script+"#\n"), 0o755)
		}
		if _, err := knownTender(path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(count); err != nil || len(got) != want {
			t.Errorf("after %d: %q, %v", i, got, err)
		}
	}
}

// TestTenderFloods: of a program that prints without end the beginning is kept, and
// that no tender prints it is told.
func TestTenderFloods(t *testing.T) {
	f := newSolo5Files(t)
	path := f.write(filepath.Join(f.bin, "solo5-hvt"), []byte("#!/bin/sh\nhead -c 100000000 /dev/zero\n"), 0o755)
	text, err := askTender(path)
	if err != nil || len(text) != askprogram.MaxOutput {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// TestParseTender reads what real tenders print.
func TestParseTender(t *testing.T) {
	for name, want := range map[string]tender{
		"hvt-0.12.1.txt":  {named: true, version: "v0.12.1-7-g469c1a8", abi: 2},
		"hvt-usage.txt":   {named: true, net: true, block: true}, // as one of 0.6.0 answers, without --version
		"hvt-lupine.txt":  {net: true, block: true},
		"spt-lupine.txt":  {net: true, block: true},
		"ukvm-lupine.txt": {},
	} {
		text, err := os.ReadFile(filepath.Join("testdata/tenders", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseTender(string(text))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(tender{})); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for text, want := range map[string]string{
		"":                             `prints "": no Solo5 tender does`,
		"QEMU emulator version 7.2.22": "no Solo5 tender does",
		"x tender, version 1\nABI version 99999999999\n": "not a version of the interface",
	} {
		if _, err := parseTender(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParseTender: no output of a program makes it more than a tender or an error.
func FuzzParseTender(f *testing.F) {
	f.Add("solo5-hvt tender, version v0.12.1\nABI version 2\n")
	f.Add("KERNEL is the filename of the unikernel to run.\n    --net=TAP (host tap device)\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTender(text)
		if err != nil && got != (tender{}) {
			t.Fatalf("%+v with %v", got, err)
		}
		if got.abi != 0 && !got.named {
			t.Fatalf("%+v: a version of the interface is younger than names", got)
		}
	})
}

// TestOldTender: what a tender of before manifests insists on.
func TestOldTender(t *testing.T) {
	f := newSolo5Files(t)
	f.tender(f.bin, "solo5-hvt", "hvt-lupine.txt")
	old := f.write(filepath.Join(f.dir, "old.hvt"), solo5test.File(), 0o644)
	disk := system.Disk{Path: "/d"}
	for _, tt := range []struct {
		boot system.Boot
		text string
	}{
		{system.Boot{Kernel: old}, "wants a disk, whatever its image does with it, and the cell has none: name one (disk:)"},
		{system.Boot{Kernel: old, Disks: []system.Disk{disk, disk}}, "takes one disk, the cell has 2"},
		{system.Boot{Kernel: f.image("new.hvt", 1, 2), Disks: []system.Disk{disk}}, "is from before Solo5 0.6.0 and does not know manifests"},
	} {
		nic := guestNIC()
		if _, err := solo5HVT.Launch(tt.boot, Resources{MemoryMiB: 64}, &nic, ""); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%v, want %q", err, tt.text)
		}
	}
	f.tender(f.dir, "solo5-hvt", "ukvm-lupine.txt") // built for an image without devices
	nic := guestNIC()
	l, err := solo5HVT.Launch(system.Boot{Kernel: old}, Resources{MemoryMiB: 64}, &nic, "a  b")
	want := []string{filepath.Join(f.dir, "solo5-hvt"), "--mem=64", "--", old, "a", "", "b"}
	if !slices.Equal(l.Argv, want) || err != nil {
		t.Errorf("%q, %v, want %q", l.Argv, err, want)
	}
	if _, err := solo5HVT.Launch(system.Boot{Kernel: old, Disks: []system.Disk{disk}}, Resources{MemoryMiB: 64}, &nic, ""); err == nil || !strings.Contains(err.Error(), "takes no disk, the cell has 1") {
		t.Errorf("a disk for a tender without: %v", err)
	}
}

func TestSolo5Accel(t *testing.T) {
	none := Host{KVMReason: "open /dev/kvm: no such file or directory"}
	for _, tt := range []struct {
		platform, want string
		host           Host
		accel, err     string
	}{
		{"solo5-hvt", "auto", Host{KVM: true}, KVM, ""}, // there is nothing else
		{"solo5-hvt", "kvm", Host{KVM: true, Hardware: true}, KVM, ""},
		{"solo5-hvt", "auto", none, "", "unsupported: accel kvm: open /dev/kvm: no such file or directory"},
		{"solo5-hvt", "tcg", Host{KVM: true}, "", "unsupported: platform solo5-hvt runs on KVM only: there is no accel tcg for it"},
		{"solo5-spt", "auto", none, None, ""},
		{"solo5-spt", "kvm", Host{KVM: true}, None, ""},
		{"solo5-virtio", "auto", Host{KVM: true}, TCG, ""},
		{"solo5-virtio", "auto", Host{KVM: true, Hardware: true}, KVM, ""},
	} {
		p, err := Find(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Accel(tt.want, system.Boot{}, tt.host)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.accel || text != tt.err {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

// TestSolo5VirtioExit: QEMU's exit status 83 is no failure of QEMU's.
func TestSolo5VirtioExit(t *testing.T) {
	if got := (solo5Virtio{}).Exit(83); got != "the guest ended itself" {
		t.Errorf("83: %q", got)
	}
	if got := (solo5Virtio{}).Exit(1); got != "" {
		t.Errorf("1: %q", got)
	}
}

// TestRealTenders: tenders and images that Solo5's own sources make are put together
// without a complaint.
func TestRealTenders(t *testing.T) {
	dir := os.Getenv("UKPROBE_GUESTS")
	if dir == "" {
		t.Skip("needs Solo5's own tenders and tests: set UKPROBE_GUESTS to a folder with solo5 built in it")
	}
	dir = filepath.Join(dir, "solo5")
	t.Setenv("PATH", filepath.Join(dir, "tenders/hvt")+":"+filepath.Join(dir, "tenders/spt"))
	nic := guestNIC()
	for _, p := range []solo5Tendered{solo5HVT, solo5SPT} {
		suffix := "." + p.target.String()
		l, err := p.Launch(system.Boot{Kernel: filepath.Join(dir, "tests/test_net/test_net") + suffix}, Resources{MemoryMiB: 64}, &nic, "limit")
		if err != nil || !slices.Contains(l.Argv, "--net:service0=uktap7") {
			t.Errorf("%s: %q, %v", p.program, l.Argv, err)
		}
		if _, err := p.Launch(system.Boot{Kernel: filepath.Join(dir, "tests/test_blk/test_blk") + suffix}, Resources{MemoryMiB: 64}, &nic, ""); err == nil || !strings.Contains(err.Error(), `"storage"`) {
			t.Errorf("%s without a disk: %v", p.program, err)
		}
	}
}
