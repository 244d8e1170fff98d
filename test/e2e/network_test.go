// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// probeTests is the compiled test of package probe, which TestHostVM hands in.
const probeTests = "UKPROBE_PROBE_TESTS"

// networkTests of package probe depend on the kernel: that the programs load and
// attach, what passes them, vhost-net.
var networkTests = []string{"TestDeviceRungsCountAlike", "TestFlows", "TestFlowsOnAWire", "TestFlowsOfAGuest",
	"TestFlowsFloodStaysInItsTable", "TestFlowsAreGivenUpInTime", "TestTapsOf", "TestTapsOfAnotherNamespace"}

// TestNetwork runs them on this kernel, where there is vhost-net. Natively `go test
// ./probe` does, without vhost-net.
func TestNetwork(t *testing.T) {
	needHostVM(t, "go test ./probe runs it natively")
	binary := os.Getenv(probeTests)
	if binary == "" {
		t.Skipf("%s is not set: TestHostVM sets it", probeTests)
	}
	cmd := exec.Command(binary, "-test.v", "-test.timeout", "10m", "-test.run", "^("+strings.Join(networkTests, "|")+")$")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	text := string(out)
	t.Log(text)
	if err != nil {
		t.Fatalf("the tests of package probe: %v", err)
	}
	for _, name := range append(networkTests, "TestFlowsOfAGuest/vhost=off", "TestFlowsOfAGuest/vhost=on") {
		if !strings.Contains(text, "--- PASS: "+name+" ") {
			t.Errorf("%s has not passed", name)
		}
	}
}
