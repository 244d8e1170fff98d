// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"regexp"
)

// UnikraftNetwork is how an image is told its address.
type UnikraftNetwork int

// The forms, which changed with Unikraft's releases.
const (
	UnikraftUnknown   UnikraftNetwork = iota // the file does not tell
	UnikraftNoAddress                        // not at all: it has no network, or asks by DHCP
	UnikraftIPv4                             // netdev.ipv4_addr=, ipv4_gw_addr=, ipv4_subnet_mask=: up to 0.16.0
	UnikraftIP                               // netdev.ip=CIDR:GATEWAY:…: since 0.16.1
)

// UnikraftImage is what an image's file says about its command line.
type UnikraftImage struct {
	Version string // such as 0.16.3; "" if it does not say
	Network UnikraftNetwork
	Params  bool // it takes library parameters, up to "--"
	Fstab   bool // vfs.fstab= is one of them
}

// unbuiltUnikraft stands for an image that is not there yet: today's.
var unbuiltUnikraft = UnikraftImage{Network: UnikraftIP, Params: true, Fstab: true}

// unikraftVersion is in the banner and in the build's string: "Unikraft ", the
// release's name, its number (version.mk; lib/ukboot/banner.c).
var unikraftVersion = regexp.MustCompile(`Unikraft [A-Z][A-Za-z-]{1,30} ([0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?(?:[~-][0-9A-Za-z.]{1,40})?)`)

// inspectUnikraft looks for the texts that an image has of its library parameters;
// stripping leaves them. They tell more than the release does, since both
// the parameters and each library's are compiled in or left out.
//
// The old parameters' names are in lib/uknetdev/netdev.c up to RELEASE-0.16.0, the
// new one's description is there since RELEASE-0.16.1; vfs.fstab's description in
// lib/vfscore/automount.c since then, its name since RELEASE-0.14.0. libuklibparam
// is the name of the library that reads them, in .uk_libinfo and in its sections
// (lib/uklibid).
func inspectUnikraft(path string) (UnikraftImage, error) {
	raw, err := readGuest(path)
	if err != nil {
		return UnikraftImage{}, err
	}
	has := func(text string) bool { return bytes.Contains(raw, []byte(text)) }
	var u UnikraftImage
	if m := unikraftVersion.FindSubmatch(raw); m != nil {
		u.Version, u.Network = string(m[1]), UnikraftNoAddress
	}
	switch {
	case has("cidr[:gw[:dns0"):
		u.Network = UnikraftIP
	case has("ipv4_subnet_mask"):
		u.Network = UnikraftIPv4
	}
	u.Fstab = has("\x00fstab\x00")
	u.Params = u.Network == UnikraftIP || u.Network == UnikraftIPv4 || u.Fstab || u.Version == "" || has("uklibparam")
	return u, nil
}
