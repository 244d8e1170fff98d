// SPDX-License-Identifier: Apache-2.0

package system

import "github.com/ukprobe/ukprobe/guests/linux"

// Names of the apps.
const (
	Hello = "hello" // prints one line and idles
	Nginx = "nginx" // serves a 612-byte page over HTTP
	HTTP  = "http"  // the reference guest's own few lines of HTTP

	// DNS is a system's own server of names, which has the zone of guests/linux's dnsmasq.
	DNS        = "dns"
	dnsmasqApp = "dnsmasq"

	redisApp     = "redis"     // answers PING
	sqliteApp    = "sqlite"    // the shell or a benchmark of it, on the console
	memcachedApp = "memcached" // answers version
)

// Platforms that systems look at.
const (
	qemuPlatform   = "qemu"
	qemu1NIC       = "qemu1nic"
	qemuMicroVM    = "qemumicrovm"
	firecrackerVMM = "firecracker"
	uhyvePlatform  = "uhyve"
	solo5HVT       = "solo5-hvt"
	solo5SPT       = "solo5-spt"
	solo5Virtio    = "solo5-virtio"
)

// Services that several systems have.

// httpGet is the request that a service of HTTP is asked.
func httpGet() []byte {
	return []byte("GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")
}

// dnsService is a server of names: it is ready when it answers a question by TCP.
func dnsService() *Service {
	return &Service{Port: linux.Port(dnsmasqApp), Request: linux.Request(dnsmasqApp)}
}

// redisPing is what Redis answers with +PONG.
func redisPing() []byte { return []byte("PING\r\n") }
