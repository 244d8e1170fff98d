// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webConfig makes a certificate, its key, which only root can read, and a web
// configuration.
func webConfig(t *testing.T) (config, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config, keyFile = filepath.Join(dir, "w.yml"), filepath.Join(dir, "key.pem")
	for path, text := range map[string][]byte{
		filepath.Join(dir, "cert.pem"): pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		keyFile:                        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		config:                         []byte("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"),
	} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(keyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	return config, keyFile
}

// TestWatchUnreadableKey: a key that the new user cannot read ends it before it
// says that it is ready.
func TestWatchUnreadableKey(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	needKVM(t)
	config, key := webConfig(t)
	c := newCall(t, "watch", "--all", "--listen", "127.0.0.1:0", "--web-config", config, "--user", "nobody").run().want(exitFailed).
		says("key.pem): open " + key + ": permission denied").says("as uid 65534 with the capabilities none")
	if strings.Contains(c.stderr.String(), "msg=ready") {
		t.Errorf("it was ready:\n%s", c.output())
	}
	if err := os.Chown(key, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	c, _ = watching(t, "--all", "--web-config", config, "--user", "nobody")
	c.end()
}
