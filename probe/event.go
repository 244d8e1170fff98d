// SPDX-License-Identifier: Apache-2.0

package probe

import "github.com/ukprobe/ukprobe/bpf"

// The events of a timeline, by name, in the order in which a boot passes them.
const (
	EventRuntimeExec   = "runtime_exec"   // of a container: the exec of the runtime that makes it
	EventVMMExec       = "vmm_exec"       // the VMM's exec (for a process and a container: its own)
	EventVMCreate      = "vm_create"      // KVM_CREATE_VM entered
	EventVMCreated     = "vm_created"     // KVM_CREATE_VM returned
	EventVCPUCreated   = "vcpu_created"   // the first KVM_CREATE_VCPU returned
	EventFirstRun      = "first_run"      // the first KVM_RUN; may return at once
	EventGuestEntry    = "guest_entry"    // the first guest instruction is about to run
	EventOptionROM     = "option_rom"     // first instruction pointer seen in the option ROM that loads the image; these four are upper bounds
	EventFirmwareEnd   = "firmware_end"   // first instruction pointer seen inside the image
	EventDecompress    = "decompress"     // the first in a bzImage's own code, which decompresses the kernel
	EventKernel        = "kernel"         // the first in the kernel proper
	EventConsoleFirst  = "console_first"  // first byte on the console
	EventConsoleReady  = "console_ready"  // last byte of the line that matches the ready pattern
	EventFrameIn       = "frame_in"       // first frame into the guest
	EventFrameOut      = "frame_out"      // first frame out of the guest
	EventSYN           = "syn"            // first SYN to the service's port
	EventSYNACK        = "syn_ack"        // the service's port answered
	EventFirstRequest  = "first_request"  // first payload byte to the service
	EventFirstResponse = "first_response" // first payload byte of the answer
	EventIdle          = "idle"           // first halt, or request to wait, after ready
	EventBootTimer     = "boot_timer"     // the guest wrote Firecracker's boot timer
	EventInternalError = "internal_error" // KVM_EXIT_INTERNAL_ERROR: KVM gave the guest up
	EventShutdown      = "shutdown"       // KVM_EXIT_SHUTDOWN: triple fault
	EventVMMExit       = "vmm_exit"
)

// The events of a container's start that user space sees, at an engine's API. They
// come before vmm_exec, save started, which may also come after it.
const (
	EventCreateSent    = "create_sent"    // the engine is asked to create the container
	EventCreated       = "created"        // and has
	EventStartSent     = "start_sent"     // it is asked to start it
	EventContainerMade = "container_made" // the runtime has made the container's cgroup; an upper bound
	EventStarted       = "started"        // it says that the container has been started
)

// Event is one timestamp from the kernel.
type Event struct {
	Name string
	NS   int64 // CLOCK_MONOTONIC
	Rung Rung
	Hook string
	TID  int // thread in whose context it was taken; for the vCPU's events, the vCPU's
}

// Missing says why a timeline does not have an event.
type Missing struct {
	Name   string
	Reason string
}

// markNames maps the kernel side's marks to events.
var markNames = map[bpf.KVMMarkKind]string{
	bpf.KVMMarkKindMARK_VMM_EXEC:       EventVMMExec,
	bpf.KVMMarkKindMARK_VM_CREATE:      EventVMCreate,
	bpf.KVMMarkKindMARK_VM_CREATED:     EventVMCreated,
	bpf.KVMMarkKindMARK_VCPU_CREATED:   EventVCPUCreated,
	bpf.KVMMarkKindMARK_FIRST_RUN:      EventFirstRun,
	bpf.KVMMarkKindMARK_GUEST_ENTRY:    EventGuestEntry,
	bpf.KVMMarkKindMARK_OPTION_ROM:     EventOptionROM,
	bpf.KVMMarkKindMARK_FIRMWARE_END:   EventFirmwareEnd,
	bpf.KVMMarkKindMARK_DECOMPRESS:     EventDecompress,
	bpf.KVMMarkKindMARK_KERNEL:         EventKernel,
	bpf.KVMMarkKindMARK_BOOT_TIMER:     EventBootTimer,
	bpf.KVMMarkKindMARK_FRAME_OUT:      EventFrameOut,
	bpf.KVMMarkKindMARK_FRAME_IN:       EventFrameIn,
	bpf.KVMMarkKindMARK_SYN:            EventSYN,
	bpf.KVMMarkKindMARK_SYN_ACK:        EventSYNACK,
	bpf.KVMMarkKindMARK_FIRST_REQUEST:  EventFirstRequest,
	bpf.KVMMarkKindMARK_FIRST_RESPONSE: EventFirstResponse,
	bpf.KVMMarkKindMARK_INTERNAL_ERROR: EventInternalError,
	bpf.KVMMarkKindMARK_SHUTDOWN:       EventShutdown,
	bpf.KVMMarkKindMARK_VMM_EXIT:       EventVMMExit,
	bpf.KVMMarkKindMARK_RUNTIME_EXEC:   EventRuntimeExec,
}

// eventHooks says which hooks can deliver an event, for the reason why it is
// missing. The console's and idle's are worked out in timeline.go.
var eventHooks = map[string][]string{
	EventRuntimeExec:   {HookExec},
	EventVMMExec:       {HookExec},
	EventVMCreate:      {HookVMIoctl, HookSyscall},
	EventVMCreated:     {HookVMIoctl, HookSyscall},
	EventVCPUCreated:   {HookVCPU, HookSyscall},
	EventFirstRun:      {HookRun, HookSyscall},
	EventGuestEntry:    {HookEntry, HookInsn},
	EventOptionROM:     {HookKVMExit, HookRIP, HookInsn},
	EventFirmwareEnd:   {HookKVMExit, HookRIP, HookInsn},
	EventDecompress:    {HookKVMExit, HookRIP, HookInsn},
	EventKernel:        {HookKVMExit, HookRIP, HookInsn},
	EventBootTimer:     {HookPIO, HookMMIO},
	EventFrameOut:      {HookTCOut, HookTapOut},
	EventFrameIn:       {HookTCIn, HookTapIn},
	EventSYN:           {HookTCIn},
	EventSYNACK:        {HookTCOut},
	EventFirstRequest:  {HookTCIn},
	EventFirstResponse: {HookTCOut},
	EventIdle:          {HookHalt},
	EventVMMExit:       {HookExit},
}
