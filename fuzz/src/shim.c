/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for the kernel's framing, line by line: until it is there. */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { REQUEST, RESPONSE, UNMATCHED };
struct shim_event { uint8_t kind, method, version; uint16_t status; };
enum state { BEGIN, START, FIELD, DATA, CHUNK, CHUNK_DATA, CHUNK_END, TRAILER, CLOSE, LOST, PROXY2 };
struct side {
	int is_response; enum state state; uint64_t left; char *line; size_t len, cap;
	int te, chunked, cl, bad; uint64_t length; int status; int bodiless;
};
struct shim_conn {
	struct side in, out; int opaque;
	struct { uint8_t method, version; } *pending; size_t npending, first;
	struct shim_event *events; size_t n;
};
static const char *const names[] = { "GET","HEAD","POST","PUT","DELETE","CONNECT","OPTIONS","TRACE","PATCH" };

struct shim_conn *shim_new(void) { struct shim_conn *c = calloc(1, sizeof(*c)); c->out.is_response = 1; c->out.state = START; return c; }
void shim_free(struct shim_conn *c) { free(c->in.line); free(c->out.line); free(c->pending); free(c->events); free(c); }
size_t shim_events(struct shim_conn *c, const struct shim_event **out) { *out = c->events; return c->n; }
static void event(struct shim_conn *c, int kind, int m, int v, int s)
{
	c->events = realloc(c->events, (c->n + 1) * sizeof(*c->events));
	c->events[c->n++] = (struct shim_event){ kind, m, v, s };
}
static int tchar(int ch) { return isalnum(ch) || (ch && strchr("!#$%&'*+-.^_`|~", ch)); }
/* line without its ending */
static int request_line(const char *l, size_t n, int *m, int *v)
{
	size_t i = 0, t;
	while (i < n && tchar((unsigned char)l[i])) i++;
	if (!i || i == n || l[i] != ' ') return 0;
	*m = 9;
	for (int k = 0; k < 9; k++) if (strlen(names[k]) == i && !memcmp(l, names[k], i)) *m = k;
	t = ++i;
	while (i < n && l[i] != ' ' && (unsigned char)l[i] > 32 && l[i] != 127) i++;
	if (i == t || n - i != 9 || memcmp(l + i, " HTTP/1.", 8) || (l[n-1] != '0' && l[n-1] != '1')) return 0;
	*v = 10 + l[n-1] - '0';
	return 1;
}
static int status_line(const char *l, size_t n, int *s)
{
	if (n < 12 || memcmp(l, "HTTP/1.", 7) || (l[7] != '0' && l[7] != '1') || l[8] != ' ') return 0;
	for (int i = 9; i < 12; i++) if (!isdigit((unsigned char)l[i])) return 0;
	if (n > 12 && l[12] != ' ') return 0;
	*s = atoi(l + 9);
	return 1;
}
static void begin(struct side *s) { s->state = START; s->te = s->chunked = s->cl = s->bad = 0; s->length = 0; }
static void head_done(struct shim_conn *c, struct side *s)
{
	if (c->opaque) return;
	if (s->is_response && s->bodiless) { begin(s); return; }
	if (s->te) {
		if (s->chunked) s->state = CHUNK;
		else s->state = s->is_response ? CLOSE : LOST;
	} else if (s->bad) s->state = s->is_response ? CLOSE : LOST;
	else if (s->cl) { s->left = s->length; s->state = DATA; if (!s->left) begin(s); }
	else if (s->is_response) s->state = CLOSE;
	else begin(s);
}
static void field(struct side *s, const char *l, size_t n)
{
	const char *colon = memchr(l, ':', n); size_t name, k; const char *v, *e = l + n;
	if (!colon) return;
	name = colon - l; v = colon + 1;
	while (v < e && (*v == ' ' || *v == '\t')) v++;
	while (e > v && (e[-1] == ' ' || e[-1] == '\t')) e--;
	if (name == 14 && !strncasecmp(l, "content-length", 14)) {
		uint64_t x = 0;
		if (v == e || e - v > 18) s->bad = 1;
		for (; v < e; v++) { if (!isdigit((unsigned char)*v)) { s->bad = 1; break; } x = x * 10 + (*v - '0'); }
		if (s->cl && x != s->length) s->bad = 1;
		s->cl = 1; s->length = x;
	} else if (name == 17 && !strncasecmp(l, "transfer-encoding", 17)) {
		s->te = 1; k = e - v;
		s->chunked = k >= 7 && !strncasecmp(e - 7, "chunked", 7) && (k == 7 || strchr(" ,\t", e[-8]));
	}
}
static void line(struct shim_conn *c, struct side *s)
{
	char *l = s->line; size_t n = s->len; int m, v, st;
	if (n && l[n-1] == '\n') n--;
	if (n && l[n-1] == '\r') n--;
	s->len = 0;
	switch (s->state) {
	case BEGIN:
		if (n > 9 && (!memcmp(l, "PROXY TCP", 9) || !memcmp(l, "PROXY UNK", 9))) { s->state = START; return; }
		/* fallthrough */
	case START:
		if (!n) return;
		if (!s->is_response) {
			if (!request_line(l, n, &m, &v)) { s->state = LOST; return; }
			event(c, REQUEST, m, v, 0);
			c->pending = realloc(c->pending, (c->npending + 1) * sizeof(*c->pending));
			c->pending[c->npending].method = m; c->pending[c->npending++].version = v;
		} else {
			if (!status_line(l, n, &st)) { s->state = LOST; return; }
			int have = c->first < c->npending;
			m = have ? c->pending[c->first].method : 0;
			s->bodiless = (st < 200 && st != 101) || st == 204 || st == 304 || (have && m == 1);
			if (st == 101 || (have && m == 5 && st / 100 == 2)) c->opaque = 1;
			if (st >= 200 || st == 101) {
				if (have) { event(c, RESPONSE, m, c->pending[c->first].version, st); c->first++; }
				else event(c, UNMATCHED, 0, 0, st);
			}
		}
		s->te = s->chunked = s->cl = s->bad = 0; s->length = 0;
		s->state = FIELD;
		return;
	case FIELD: if (!n) head_done(c, s); else field(s, l, n); return;
	case CHUNK: {
		uint64_t x = 0; size_t i = 0;
		for (; i < n && isxdigit((unsigned char)l[i]); i++) x = x * 16 + (isdigit((unsigned char)l[i]) ? l[i] - '0' : (l[i] | 32) - 'a' + 10);
		if (!i || i > 16) { s->state = LOST; return; }
		s->left = x; s->state = x ? CHUNK_DATA : TRAILER; return; }
	case CHUNK_END: s->state = n ? LOST : CHUNK; return;
	case TRAILER: if (!n) begin(s); return;
	default: return;
	}
}
static void skip(struct side *s, uint64_t n) { s->left -= n; if (!s->left) { if (s->state == DATA || s->state == PROXY2) begin(s); else s->state = CHUNK_END; } }
static int skipping(struct side *s) { return s->state == DATA || s->state == CHUNK_DATA || (s->state == PROXY2 && s->left); }
static void feed(struct shim_conn *c, struct side *s, const uint8_t *d, size_t len)
{
	size_t i = 0; int m, v, st;
	if (c->opaque || !len) return;
	if (!d) {
		if (skipping(s) && len <= s->left) skip(s, len);
		else if (s->state != CLOSE) s->state = LOST;
		return;
	}
	if (s->state == LOST) {
		const uint8_t *nl = memchr(d, '\n', len);
		size_t n = nl ? (size_t)(nl - d) : 0;
		if (n && d[n-1] == '\r') n--;
		if (!s->is_response && request_line((const char *)d, n, &m, &v)) { begin(s); s->len = 0; c->first = c->npending; if (c->out.state != FIELD) begin(&c->out); }
		else if (s->is_response && status_line((const char *)d, n, &st)) { begin(s); s->len = 0; }
		else return;
	}
	while (i < len && !c->opaque) {
		if (skipping(s)) { uint64_t n = len - i < s->left ? len - i : s->left; skip(s, n); i += n; continue; }
		if (s->state == CLOSE || s->state == LOST) return;
		if (s->len == s->cap) { s->cap = s->cap ? s->cap * 2 : 128; s->line = realloc(s->line, s->cap); }
		s->line[s->len++] = d[i++];
		if (s->state == BEGIN && s->len <= 12 && !memcmp(s->line, "\r\n\r\n\0\r\nQUIT\n", s->len)) continue;
		if (s->state == BEGIN && s->len <= 16 && s->len > 12 && !memcmp(s->line, "\r\n\r\n\0\r\nQUIT\n", 12)) {
			if (s->len == 16) { s->left = ((uint8_t)s->line[14] << 8) | (uint8_t)s->line[15]; s->state = PROXY2; s->len = 0; if (!s->left) begin(s); }
			continue;
		}
		if (s->state == BEGIN && s->len > 1 && s->line[0] == '\r') { /* empty lines after all: replay them */
			if (s->line[s->len-1] != '\n' && s->line[s->len-1] != '\r') { char ch = s->line[s->len-1]; s->state = START; s->line[0] = ch; s->len = 1; }
			continue;
		}
		if (s->line[s->len-1] == '\n') line(c, s);
	}
}
void shim_receive(struct shim_conn *c, const uint8_t *d, size_t n) { feed(c, &c->in, d, n); }
void shim_send(struct shim_conn *c, const uint8_t *d, size_t n) { feed(c, &c->out, d, n); }
