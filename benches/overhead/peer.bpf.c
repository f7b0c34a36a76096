/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What most tools do: remember the buffer when a receive enters the kernel, and when it leaves, look the
 * buffer up and compare its first bytes with a method. It sees requests only, and only their first bytes.
 * Of HTTP/2 they walk over the first frames, to find the head of a request.
 * It is here to be compared with, so it is as small as it can be: no CO-RE, no kernel types.
 */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_MAP_TYPE_HASH = 1 };

#include <bpf/bpf_helpers.h>

/* The formats of sys_enter_read and sys_enter_recvfrom, and of every sys_exit_*, as tracefs lists them. */
struct enter {
	__u64 common;
	__u64 nr;
	__u64 fd;
	const void *buffer;
};

struct leave {
	__u64 common;
	__u64 nr;
	__s64 result;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u64);
	__type(value, const void *);
} buffers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} requests SEC(".maps");

static int remember(const struct enter *event)
{
	__u64 thread = bpf_get_current_pid_tgid();
	const void *buffer = event->buffer;

	bpf_map_update_elem(&buffers, &thread, &buffer, BPF_ANY);
	return 0;
}

static int is_request(const char *start)
{
	static const char methods[][5] = { "GET ", "POST", "PUT ", "HEAD", "DELE", "PATC", "OPTI" };

	for (__u32 i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (__builtin_memcmp(start, methods[i], 4) == 0)
			return 1;
	return 0;
}

static void count(__u32 pid)
{
	__u64 zero = 0;
	__u64 *seen = bpf_map_lookup_elem(&requests, &pid);

	if (!seen) {
		bpf_map_update_elem(&requests, &pid, &zero, BPF_NOEXIST);
		seen = bpf_map_lookup_elem(&requests, &pid);
	}
	if (seen)
		__sync_fetch_and_add(seen, 1);
}

static int compare(const struct leave *event)
{
	__u64 thread = bpf_get_current_pid_tgid();
	const void **buffer = bpf_map_lookup_elem(&buffers, &thread);
	char start[4];

	if (!buffer)
		return 0;
	if (event->result >= (__s64)sizeof(start) &&
	    bpf_probe_read_user(start, sizeof(start), *buffer) == 0 && is_request(start))
		count(thread >> 32);
	bpf_map_delete_elem(&buffers, &thread);
	return 0;
}

enum { H2_HEAD = 9, H2_PREFACE = 24, H2_FRAMES = 8, H2_HEADERS = 1, H2_END_STREAM = 1 };

/* Neither an answer, which begins with an indexed :status here, nor trailers. */
static int is_head(const __u8 *frame)
{
	__u8 first = frame[H2_HEAD];

	if (frame[3] != H2_HEADERS)
		return 0;
	return (first >= 0x82 && first <= 0x87) ||
	       (!(frame[4] & H2_END_STREAM) && !(first >= 0x88 && first <= 0x8e));
}

static int walk(const struct leave *event)
{
	__u64 thread = bpf_get_current_pid_tgid();
	const __u8 **buffer = bpf_map_lookup_elem(&buffers, &thread);
	__u8 frame[H2_HEAD + 1];
	__s64 at = 0;

	if (!buffer)
		return 0;
	for (int i = 0; i < H2_FRAMES && at + (__s64)sizeof(frame) <= event->result; i++) {
		if (bpf_probe_read_user(frame, sizeof(frame), *buffer + at) != 0)
			break;
		if (at == 0 && frame[0] == 'P' && frame[1] == 'R' && frame[2] == 'I') {
			at = H2_PREFACE;
			continue;
		}
		if (is_head(frame))
			count(thread >> 32);
		at += H2_HEAD + (frame[0] << 16 | frame[1] << 8 | frame[2]);
	}
	bpf_map_delete_elem(&buffers, &thread);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_read")
int peer_enter_read(const struct enter *event)
{
	return remember(event);
}

SEC("tracepoint/syscalls/sys_enter_recvfrom")
int peer_enter_recvfrom(const struct enter *event)
{
	return remember(event);
}

SEC("tracepoint/syscalls/sys_exit_read")
int peer_exit_read(const struct leave *event)
{
	return compare(event);
}

SEC("tracepoint/syscalls/sys_exit_recvfrom")
int peer_exit_recvfrom(const struct leave *event)
{
	return compare(event);
}

SEC("tracepoint/syscalls/sys_enter_read")
int heads_enter_read(const struct enter *event)
{
	return remember(event);
}

SEC("tracepoint/syscalls/sys_enter_recvfrom")
int heads_enter_recvfrom(const struct enter *event)
{
	return remember(event);
}

SEC("tracepoint/syscalls/sys_exit_read")
int heads_exit_read(const struct leave *event)
{
	return walk(event);
}

SEC("tracepoint/syscalls/sys_exit_recvfrom")
int heads_exit_recvfrom(const struct leave *event)
{
	return walk(event);
}

/* The least that a program at these tracepoints can cost: those of the agent's backends. */
#define EMPTY(name, tracepoint) \
	SEC(tracepoint)         \
	int name(void *ctx)     \
	{                       \
		return 0;       \
	}

EMPTY(empty_sock_receive, "tp_btf/sock_recv_length")
EMPTY(empty_sock_send, "tp_btf/sock_send_length")

EMPTY(empty_exit_read, "tracepoint/syscalls/sys_exit_read")
EMPTY(empty_exit_recvfrom, "tracepoint/syscalls/sys_exit_recvfrom")
EMPTY(empty_exit_readv, "tracepoint/syscalls/sys_exit_readv")
EMPTY(empty_exit_recvmsg, "tracepoint/syscalls/sys_exit_recvmsg")
EMPTY(empty_exit_write, "tracepoint/syscalls/sys_exit_write")
EMPTY(empty_exit_sendto, "tracepoint/syscalls/sys_exit_sendto")
EMPTY(empty_exit_writev, "tracepoint/syscalls/sys_exit_writev")
EMPTY(empty_exit_sendmsg, "tracepoint/syscalls/sys_exit_sendmsg")

char LICENSE[] SEC("license") = "Dual BSD/GPL";
