/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the state of a connection lies, and what a receive or send of its socket does to it.
 *
 * In the socket's own storage where the programs may use that: it goes with the socket and costs less to
 * find. Else in a hash by the socket's inode number, which no living socket shares, where the least
 * recently used goes first. Which one is a constant that user space sets before the programs are loaded,
 * so that the verifier drops the other way, whose maps are not even made.
 */
#ifndef STATE_BPF_H
#define STATE_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct http1_connection);
} http_connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* --max-connections */
	__type(key, __u64);
	__type(value, struct http1_connection);
} http_inodes SEC(".maps");

/*
 * TCP sockets that are known not to be an HTTP/1 server's end: those that spoke first, and those whose
 * first bytes were no request. One look at this instead of one at the bytes of each receive. Only what was
 * seen from its beginning is marked, so that a stream joined in the middle of a body is still found out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u8);
} http_strangers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* --max-connections */
	__type(key, __u64);
	__type(value, __u8);
} http_stranger_inodes SEC(".maps");

enum {
	HTTP_S_IFMT = 0170000,
	HTTP_S_IFSOCK = 0140000,
};

/* A stream socket. */
struct http_endpoint {
	struct sock *sk;
	__u64 inode; /* its number, where state does not lie in storage */
};

/* The endpoint of a socket; without a sock if it is no stream socket. */
static __always_inline struct http_endpoint http_endpoint_of_socket(struct socket *socket)
{
	struct http_endpoint endpoint = {};
	struct sock *sk = socket->sk;

	if (!sk || !http_is_stream(sk->sk_type, sk->__sk_common.skc_family))
		return endpoint;
	if (!http_in_storage)
		endpoint.inode = http_read(socket, struct socket_alloc, vfs_inode.i_ino);
	endpoint.sk = sk;
	return endpoint;
}

static __always_inline struct http1_connection *http_connection_by_inode(__u64 inode)
{
	return bpf_map_lookup_elem(&http_inodes, &inode);
}

static __always_inline struct http1_connection *http_connection_of(const struct http_endpoint *endpoint)
{
	if (http_in_storage)
		return bpf_sk_storage_get(&http_connections, endpoint->sk, NULL, 0);
	return http_connection_by_inode(endpoint->inode);
}

static __always_inline void http_keep_connection(const struct http_endpoint *endpoint,
						 struct http1_connection *conn)
{
	__u64 inode = endpoint->inode;
	bool kept;

	if (http_in_storage)
		kept = bpf_sk_storage_get(&http_connections, endpoint->sk, conn, BPF_SK_STORAGE_GET_F_CREATE);
	else
		kept = !bpf_map_update_elem(&http_inodes, &inode, conn, BPF_ANY);
	if (!kept)
		http_miss(connections_full, 1);
}

static __always_inline bool http_is_stranger(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;

	if (http_in_storage)
		return bpf_sk_storage_get(&http_strangers, endpoint->sk, NULL, 0);
	return bpf_map_lookup_elem(&http_stranger_inodes, &inode);
}

static __always_inline void http_mark_stranger(const struct http_endpoint *endpoint)
{
	__u64 inode = endpoint->inode;
	__u8 mark = 1;

	if (http_in_storage)
		bpf_sk_storage_get(&http_strangers, endpoint->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	else
		bpf_map_update_elem(&http_stranger_inodes, &inode, &mark, BPF_ANY);
}

/* Whether a socket without a connection need not be looked at. */
static __always_inline bool http_is_no_server(const struct http_endpoint *endpoint)
{
	return http_is_stranger(endpoint) || http_is_unix_client(endpoint->sk);
}

/* A socket, which may have a connection, has received. */
static __always_inline void http_endpoint_receive(struct task_struct *task,
						  const struct http_endpoint *endpoint,
						  struct http1_connection *conn,
						  struct http_transfer *transfer)
{
	if (conn) {
		http_receive(task, conn, transfer);
		return;
	}
	conn = http_first_receive(task, transfer);
	if (conn) {
		if (http_is_tcp(endpoint->sk))
			conn->copied_seq = http_read(endpoint->sk, struct tcp_sock, copied_seq);
		http_keep_connection(endpoint, conn);
	} else if (transfer->cursor.filled && /* its bytes were seen */
		   http_was_first(endpoint->sk, transfer->cursor.length)) {
		http_mark_stranger(endpoint);
	}
}

/* A socket without a connection has sent. */
static __always_inline void http_stranger_send(const struct http_endpoint *endpoint)
{
	if (http_speaks_first(endpoint->sk) && !http_is_stranger(endpoint))
		http_mark_stranger(endpoint);
}

/*
 * Bytes that left the receive queue by a way that passes no hook (splice, zero-copy) show in TCP's
 * sequence number: within a body they are skipped like any others.
 */
static __always_inline void http_skip_hidden(struct http1_connection *conn, struct sock *sk, __u32 length)
{
	__u32 copied_seq, hidden;

	if (!http_is_tcp(sk))
		return;
	copied_seq = http_read(sk, struct tcp_sock, copied_seq);
	hidden = copied_seq - conn->copied_seq - length;
	conn->copied_seq = copied_seq;
	if (hidden)
		http_receive_hidden(conn, hidden);
}

/*
 * A byte for each connection that has state: user space counts them, walking the open files of all tasks.
 * Some of those share a socket, so that the connection is marked with the number of the walk. An iterator
 * over a map's elements would do without, but some locked-down kernels refuse it.
 */
SEC("iter/task_file")
int http_count_connections(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct http_endpoint endpoint = {};
	struct http1_connection *conn;
	struct socket *socket;
	__u16 walk = ctx->meta->session_id % 0xffff + 1;
	char byte = 0;

	if (!file || (file->f_inode->i_mode & HTTP_S_IFMT) != HTTP_S_IFSOCK)
		return 0;
	if (http_in_storage) {
		socket = bpf_sock_from_file(file);
		if (!socket || !socket->sk)
			return 0;
		endpoint.sk = socket->sk;
	} else {
		endpoint.inode = file->f_inode->i_ino;
	}
	conn = http_connection_of(&endpoint);
	if (conn && conn->request.mark != walk) {
		conn->request.mark = walk;
		bpf_seq_write(ctx->meta->seq, &byte, sizeof(byte));
	}
	return 0;
}

#endif /* STATE_BPF_H */
