// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"log"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// shared builds in the checkout's cache, which make uses too: what the tests
// need is downloaded once per machine and asked of apt once per run.
var shared = &Builder{Dir: "../../.cache/images", Logf: log.Printf}

// treeBuilder returns the shared builder. It must be asked for images before
// the test moves into a network namespace: from there apt reaches nobody.
func treeBuilder(t *testing.T) *Builder {
	t.Helper()
	need(t, "apt-get", "dpkg-deb")
	return shared
}

// need skips the test if a program is not installed.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s not found", p)
		}
	}
}

// needRoot skips the test unless it runs as root.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is needed for mknod, chroot and network namespaces")
	}
}

// ownNamespace moves the test into a network namespace of its own, which goes
// with the test and the processes that it starts. Everything that is to happen
// there must happen in the test's own goroutine.
func ownNamespace(t *testing.T) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	inside, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		_ = netns.Set(before)
		_ = before.Close()
		_ = inside.Close()
	})
}

// addLink makes a network interface in the current namespace and brings it up
// with an address; "" for none.
func addLink(t *testing.T, link netlink.Link, address string) {
	t.Helper()
	name := link.Attrs().Name
	if link.Type() != "device" { // lo is there already
		if err := netlink.LinkAdd(link); err != nil {
			t.Fatalf("add %s: %v", name, err)
		}
	}
	found, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	setUp(t, found, address)
}

// setUp gives a link its address and brings it up.
func setUp(t *testing.T, link netlink.Link, address string) {
	t.Helper()
	if address != "" {
		a, err := netlink.ParseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			t.Fatalf("give %s the address %s: %v", link.Attrs().Name, address, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatalf("bring up %s: %v", link.Attrs().Name, err)
	}
}
