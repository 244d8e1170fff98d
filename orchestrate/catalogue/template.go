// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/suggest"
)

// placeholder is a lower-case word in braces. Other braces stand for themselves, so
// that a command line may be JSON.
var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// What the templates may hold.
var (
	networkWords = []string{"{address}", "{prefix}", "{netmask}", "{gateway}"}
	cmdlineWords = []string{"{network}"}
)

// checkTemplate says which placeholder of a template does not exist.
func checkTemplate(template string, words []string) error {
	for _, p := range placeholder.FindAllString(template, -1) {
		if !slices.Contains(words, p) {
			return fmt.Errorf("unknown placeholder %s%s (known: %s)", p, suggest.DidYouMean(p, words), strings.Join(words, ", "))
		}
	}
	return nil
}

// Address is what the network's words are made of.
type Address struct {
	Prefix  netip.Prefix // the guest's address with its network's length
	Gateway netip.Addr
}

// NetworkWords fills the image's network template in. Without one there are none.
func (m Image) NetworkWords(a Address) string {
	return strings.NewReplacer(
		"{address}", a.Prefix.Addr().String(),
		"{prefix}", strconv.Itoa(a.Prefix.Bits()),
		"{netmask}", Netmask(a.Prefix),
		"{gateway}", a.Gateway.String(),
	).Replace(m.Network)
}

// Netmask is a prefix's length as an address: 255.255.255.0 for /24.
func Netmask(p netip.Prefix) string {
	return net.IP(net.CIDRMask(p.Bits(), p.Addr().BitLen())).String()
}

// CommandLine fills the network's words into an image's command line: at {network},
// or at its end. Where there are no words, a blank beside {network} goes too.
func CommandLine(template, network string) string {
	const at = "{network}"
	line := template
	if !strings.Contains(line, at) {
		line += " " + at
	}
	if network == "" {
		line = strings.ReplaceAll(line, " "+at, "")
	}
	return strings.TrimSpace(strings.ReplaceAll(line, at, network))
}
