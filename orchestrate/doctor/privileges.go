// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/internal/hostfile"
)

// capability is one of capabilities(7), with what it is for.
type capability struct {
	name string
	bit  uint // linux/capability.h
	// also is the older capability that includes it.
	also uint
}

const (
	capNetAdmin = 12
	capSysAdmin = 21
	capPerfmon  = 38 // Linux 5.8
	capBPF      = 39 // Linux 5.8
)

var capabilities = []capability{
	{"CAP_BPF", capBPF, capSysAdmin},
	{"CAP_PERFMON", capPerfmon, capSysAdmin},
	{"CAP_NET_ADMIN", capNetAdmin, capNetAdmin},
	{"CAP_SYS_ADMIN", capSysAdmin, capSysAdmin},
}

// privileges judges the text of /proc/self/status.
func privileges(root fs.FS) []Check {
	const g = group(groupPrivileges)
	const remedy = "run as root (sudo ukprobe …)"
	raw, err := fs.ReadFile(root, "proc/self/status")
	if err != nil {
		return []Check{needed(g.fail("capabilities", "unknown: "+hostfile.NotRead("proc/self/status", err), "mount /proc"))}
	}
	uid, _, _ := strings.Cut(strings.TrimSpace(hostfile.Field(string(raw), "Uid")), "\t")
	eff, err := strconv.ParseUint(hostfile.Field(string(raw), "CapEff"), 16, 64)
	if err != nil {
		return []Check{needed(g.fail("capabilities", "unknown: /proc/self/status has no CapEff", remedy))}
	}
	who := "uid " + uid
	if uid == "0" {
		who = "root"
	}
	var have, lack []string
	for _, c := range capabilities {
		if eff&(1<<c.bit|1<<c.also) != 0 {
			have = append(have, c.name)
		} else {
			lack = append(lack, c.name)
		}
	}
	if len(lack) > 0 {
		return []Check{needed(g.fail("capabilities", fmt.Sprintf("%s, without %s", who, strings.Join(lack, " ")), remedy))}
	}
	return []Check{needed(g.ok("capabilities", fmt.Sprintf("%s, with %s", who, strings.Join(have, " "))))}
}
