// SPDX-License-Identifier: Apache-2.0

package netservice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/network"
)

// The ports of both services.
const (
	dhcpPort = 67 // of a server; a client has 68
	dnsPort  = 53
)

// Counts are what the servers did.
type Counts struct {
	Leased  uint64 // DHCP acknowledgements
	Refused uint64 // DHCP messages that got no answer, or a no: of strangers, for others, damaged
	Names   uint64 // DNS questions answered, be it with "no such name"
}

// Server is the DHCP and the name server of one lab. Its methods may be called from
// several goroutines.
type Server struct {
	gateway netip.Prefix
	dhcp    net.PacketConn
	udp     net.PacketConn
	tcp     net.Listener
	stop    context.CancelFunc
	serving sync.WaitGroup

	mu     sync.Mutex
	guests map[string]network.Guest // by MAC address
	counts Counts
}

// Start starts both servers on a lab's bridge. They answer nobody until Add.
func Start(lab *network.Lab) (*Server, error) {
	s := &Server{gateway: lab.Gateway(), guests: map[string]network.Guest{}}
	if err := lab.Do(func() error { return s.listen(lab.Bridge) }); err != nil {
		return nil, errors.Join(fmt.Errorf("start the lab's DHCP and name server: %w", err), s.closeSockets())
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.serving.Go(s.serveDHCP)
	s.serving.Go(s.serveUDP)
	s.serving.Go(func() { s.serveTCP(ctx) })
	return s, nil
}

// listen opens the sockets, in the lab's namespace.
func (s *Server) listen(bridge string) error {
	ctx := context.Background()
	dhcp := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return onDevice(c, bridge) }}
	address := net.JoinHostPort(s.gateway.Addr().String(), strconv.Itoa(dnsPort))
	var plain net.ListenConfig
	var err error
	if s.dhcp, err = dhcp.ListenPacket(ctx, "udp4", fmt.Sprintf("0.0.0.0:%d", dhcpPort)); err != nil {
		return err
	}
	if s.udp, err = plain.ListenPacket(ctx, "udp4", address); err != nil {
		return err
	}
	s.tcp, err = plain.Listen(ctx, "tcp4", address)
	return err
}

// onDevice binds a socket to the bridge, so that what has no address yet reaches it,
// and lets it send to all. Others may listen to what is sent to all.
func onDevice(c syscall.RawConn, bridge string) error {
	var err error
	control := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
			unix.BindToDevice(int(fd), bridge))
	})
	return errors.Join(control, err)
}

// Add has a guest answered, until Remove.
func (s *Server) Add(g network.Guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guests[g.MAC.String()] = g
}

// Remove forgets a guest.
func (s *Server) Remove(g network.Guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.guests, g.MAC.String())
}

// Counts are what the servers did until now.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

func (s *Server) count(n *uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// Close ends both servers and waits for them.
func (s *Server) Close() error {
	s.stop()
	err := s.closeSockets()
	s.serving.Wait()
	return err
}

func (s *Server) closeSockets() error {
	var errs []error
	for _, c := range []interface{ Close() error }{s.dhcp, s.udp, s.tcp} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// serve reads datagrams, one at a time, until the socket is closed, and sends what
// answer makes of each; nil is no answer.
func serve(conn net.PacketConn, longest int, answer func(message []byte, from net.Addr) ([]byte, net.Addr)) {
	buf := make([]byte, longest)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier answer
		}
		if out, to := answer(buf[:n], from); out != nil {
			// What cannot be sent is asked for again.
			_, _ = conn.WriteTo(out, to)
		}
	}
}
