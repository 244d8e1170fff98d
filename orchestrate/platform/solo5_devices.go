// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/solo5"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// attached is what an image's devices are connected to.
type attached struct {
	disks []system.Disk // in the manifest's order, each with its device's name
	net   string        // the network device's name; "" if the image declares none
}

// attach gives each device that the image declares its counterpart in the cell: a
// disk that is named for it, or else the next one without a name; the tap. Solo5
// wants all of them attached, so one that is left over is an error, on either side.
func attach(platform string, target solo5.Target, img solo5.Image, b system.Boot, nic *network.Guest) (attached, error) {
	if img.Target != target {
		return attached{}, fmt.Errorf("%w: image %s is built for Solo5's target %s, platform %s takes %s", system.ErrUnsupported, b.Kernel, img.Target, platform, target)
	}
	var out attached
	switch nets := img.Of(solo5.Net); {
	case len(nets) > 1:
		return out, fmt.Errorf("%w: image %s declares %s, and a guest of the laboratory has one", system.ErrUnsupported, b.Kernel, names("network devices", nets))
	case len(nets) == 1 && nic == nil:
		return out, fmt.Errorf("image %s declares the network device %q, and the cell has none", b.Kernel, nets[0].Name)
	case len(nets) == 1:
		out.net = nets[0].Name
	}
	disks, err := attachDisks(img.Of(solo5.Block), b)
	out.disks = disks
	return out, err
}

func attachDisks(blocks []solo5.Device, b system.Boot) ([]system.Disk, error) {
	left := slices.Clone(b.Disks)
	take := func(name string) (system.Disk, bool) {
		i := slices.IndexFunc(left, func(d system.Disk) bool { return d.Name == name })
		if i < 0 {
			return system.Disk{}, false
		}
		d := left[i]
		left = slices.Delete(left, i, i+1)
		return d, true
	}
	out := make([]system.Disk, len(blocks))
	var unnamed []int
	for i, dev := range blocks {
		var ok bool
		if out[i], ok = take(dev.Name); !ok {
			unnamed = append(unnamed, i)
		}
	}
	for _, i := range unnamed {
		var ok bool
		if out[i], ok = take(""); !ok {
			return nil, fmt.Errorf("image %s declares the block device %q, and the cell has no disk for it: name one (disk: in the cell)", b.Kernel, blocks[i].Name)
		}
		out[i].Name = blocks[i].Name
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("the cell has the disk %s, for which image %s declares no device (it declares %s)", describeDisk(left[0]), b.Kernel, names("block devices", blocks))
	}
	for _, d := range out {
		if err := rawDisk(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func describeDisk(d system.Disk) string {
	if d.Name == "" {
		return d.Path
	}
	return fmt.Sprintf("%s, named %s", d.Path, d.Name)
}

// rawDisk refuses what a tender would take for the content of the disk itself.
func rawDisk(d system.Disk) error {
	if d.Format != "raw" && d.Format != "" {
		return fmt.Errorf("disk %s is %s, and Solo5 takes raw images only: qemu-img convert -O raw %s NEW", d.Path, d.Format, d.Path)
	}
	return nil
}

// names lists devices for a person.
func names(what string, devices []solo5.Device) string {
	if len(devices) == 0 {
		return "no " + what
	}
	out := make([]string, len(devices))
	for i, d := range devices {
		out[i] = d.Name
	}
	return fmt.Sprintf("%d %s (%s)", len(devices), what, strings.Join(out, ", "))
}
