// SPDX-License-Identifier: Apache-2.0
//! Random conversations of HTTP/2, and a model of what they count.

use std::collections::HashMap;
use std::ops::Range;

use fastrand::Rng;

use crate::account::Method;
use crate::http2::block::{Field, field};
use crate::http2::encoder::Encoder;
use crate::http2::frames::{self, Frames, cut};
use crate::http2::nghttp2::Deflater;
use crate::http2::shim::{Connection, Count, From, GRPC_OTHER};
use crate::message::choose;
use crate::transfer::Direction;

/// What happens on a stream when the last octet of a frame has been transferred.
#[derive(Clone, Copy, Debug)]
enum Event {
    Request(u32, Method),
    Final(u32, u16),
    /// The server's end, perhaps with a gRPC status.
    End(u32, Option<u16>),
    /// By either side.
    Reset(u32),
}

enum Coder {
    Own(Box<Encoder>),
    Nghttp2(Deflater),
}

impl Coder {
    fn new(rng: &mut Rng) -> Self {
        if rng.bool() {
            Self::Nghttp2(Deflater::new(4096))
        } else {
            Self::Own(Box::new(Encoder::new(rng, 4096)))
        }
    }

    fn block(&mut self, rng: &mut Rng, fields: &[Field]) -> Vec<u8> {
        match self {
            Self::Own(encoder) => encoder.block(rng, fields),
            Self::Nghttp2(deflater) => deflater.block(fields),
        }
    }
}

/// What one side sends.
struct Side {
    coder: Coder,
    frames: Frames,
    events: Vec<(usize, Event)>,
    /// Up to here it was cut into flights.
    flown: usize,
}

impl Side {
    fn new(rng: &mut Rng) -> Self {
        Self {
            coder: Coder::new(rng),
            frames: Frames::default(),
            events: Vec::new(),
            flown: 0,
        }
    }

    fn happens(&mut self, event: Event) {
        self.events.push((self.frames.bytes.len() - 1, event));
    }

    fn head(&mut self, rng: &mut Rng, stream: u32, fields: &[(&str, &str)], end: bool) {
        let mut all: Vec<Field> = fields
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        for _ in 0..rng.u8(..4) {
            let (name, value) = field(rng);
            if !name.starts_with(b":") && !name.starts_with(b"grpc-status") {
                all.push((name, value));
            }
        }
        let block = self.coder.block(rng, &all);
        self.frames.block(rng, stream, &block, end, None);
    }

    fn reset(&mut self, stream: u32, code: u8) {
        self.frames
            .frame(frames::RST_STREAM, 0, stream, &[0, 0, 0, code]);
        self.happens(Event::Reset(stream));
    }
}

/// What is still to happen on a stream, the last first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    ClientData(bool),
    ClientTrailers,
    ClientReset,
    Interim(u16),
    Final(u16, bool),
    ServerData(bool),
    /// With a gRPC status, or without.
    Trailers(Option<u16>),
    ServerReset(u8),
    Push,
}

fn acts(rng: &mut Rng, method: Method) -> Vec<Act> {
    use Act::{
        ClientData, ClientReset, ClientTrailers, Final, Interim, Push, ServerData, ServerReset,
        Trailers,
    };
    let status = choose(
        rng,
        &[200, 200, 200, 201, 204, 302, 304, 404, 429, 499, 500, 503],
    );
    let grpc = choose(rng, &[0, 0, 0, 1, 4, 5, 7, 12, 14, 16, GRPC_OTHER]);
    let mut acts = match rng.u8(..10) {
        // gRPC: unary, of the client's stream, of the server's, of both, refused at once.
        0..=1 => vec![
            ClientData(true),
            Final(200, false),
            ServerData(false),
            Trailers(Some(grpc)),
        ],
        2 => vec![
            ClientData(false),
            ClientData(false),
            ClientData(true),
            Final(200, false),
            ServerData(false),
            Trailers(Some(grpc)),
        ],
        3 => vec![
            ClientData(true),
            Final(200, false),
            ServerData(false),
            ServerData(false),
            Trailers(Some(grpc)),
        ],
        4 => vec![
            Final(200, false),
            ClientData(false),
            ServerData(false),
            ClientData(true),
            ServerData(false),
            Trailers(Some(grpc)),
        ],
        5 => vec![ClientData(true), Trailers(Some(grpc))],
        // HTTP.
        6 => vec![Final(status, true)],
        7 => vec![ClientData(false), ClientTrailers, Final(status, true)],
        8 => vec![Final(status, false), ServerData(true), ServerReset(0)],
        _ => vec![Final(status, false), ServerData(false), Trailers(None)],
    };
    if method == Method::Connect {
        acts = vec![
            Final(200, false),
            ServerData(false),
            ClientData(false),
            ServerData(true),
        ];
    }
    match rng.u8(..24) {
        0 => acts.insert(0, Interim(103)),
        1 => acts.insert(0, Interim(100)),
        2 => acts.insert(0, Push),
        3..=4 => {
            let at = rng.usize(..=acts.len());
            acts.truncate(at);
            acts.push(ServerReset(7));
        }
        5..=6 => {
            let at = rng.usize(..=acts.len());
            acts.insert(at, ClientReset);
            // The server may not have noticed.
            if rng.bool() {
                acts.truncate(at + 1);
            }
        }
        _ => {}
    }
    acts.reverse();
    acts
}

/// A conversation as a server sees it.
pub struct Calls {
    pub received: Vec<u8>,
    pub sent: Vec<u8>,
    /// Which of the bytes say nothing.
    data: [Vec<Range<usize>>; 2],
    pub transfers: Vec<(Direction, Range<usize>)>,
    events: [Vec<(usize, Event)>; 2],
    pub from: From,
}

/// A conversation that is being made.
struct Maker {
    client: Side,
    server: Side,
    open: Vec<(u32, Vec<Act>)>,
    next: u32,
    pushed: u32,
    transfers: Vec<(Direction, Range<usize>)>,
}

impl Maker {
    fn open(&mut self, rng: &mut Rng) {
        let (name, method) = choose(
            rng,
            &[
                ("GET", Method::Get),
                ("POST", Method::Post),
                ("POST", Method::Post),
                ("PUT", Method::Put),
                ("DELETE", Method::Delete),
                ("HEAD", Method::Head),
                ("OPTIONS", Method::Options),
                ("PROPFIND", Method::Other),
                ("CONNECT", Method::Connect),
            ],
        );
        let stream = self.next;
        self.next += 2;
        let acts = acts(rng, method);
        let mut fields = vec![(":method", name), (":scheme", "http"), (":path", "/a")];
        if method == Method::Connect {
            fields.insert(rng.usize(..2), (":protocol", "websocket"));
        }
        let goes_on = acts.iter().any(|act| {
            matches!(
                act,
                Act::ClientData(_) | Act::ClientTrailers | Act::ClientReset
            )
        });
        self.client.head(rng, stream, &fields, !goes_on);
        self.client.happens(Event::Request(stream, method));
        self.open.push((stream, acts));
    }

    fn act(&mut self, rng: &mut Rng) {
        let which = rng.usize(..self.open.len());
        let (stream, acts) = &mut self.open[which];
        let stream = *stream;
        let act = acts.pop();
        if acts.is_empty() {
            self.open.swap_remove(which);
        }
        let Some(act) = act else { return };
        let most = choose(rng, &[1, 10, 100, 3000]);
        let length = rng.usize(..most);
        let (client, server) = (&mut self.client, &mut self.server);
        match act {
            Act::ClientData(end) => client.frames.data(rng, stream, length, end),
            Act::ClientTrailers => client.head(rng, stream, &[("x-checksum", "12")], true),
            Act::ClientReset => client.reset(stream, 8),
            Act::Interim(status) => {
                server.head(rng, stream, &[(":status", &status.to_string())], false);
            }
            Act::Final(status, end) => {
                server.head(rng, stream, &[(":status", &status.to_string())], end);
                server.happens(Event::Final(stream, status));
                if end {
                    server.happens(Event::End(stream, None));
                }
            }
            Act::ServerData(end) => {
                server.frames.data(rng, stream, length, end);
                if end {
                    server.happens(Event::End(stream, None));
                }
            }
            Act::Trailers(grpc) => {
                let digits = rng.usize(1..3);
                let text = grpc.map_or(String::new(), |status| format!("{status:0digits$}"));
                let mut fields = match grpc {
                    Some(_) => vec![("grpc-status", text.as_str()), ("grpc-message", "")],
                    None => vec![("x-checksum", "1")],
                };
                let answered = server.events.iter().any(
                    |(_, event)| matches!(event, Event::Final(answered, _) if *answered == stream),
                );
                if !answered {
                    fields.insert(0, (":status", "200"));
                }
                server.head(rng, stream, &fields, true);
                if !answered {
                    server.happens(Event::Final(stream, 200));
                }
                server.happens(Event::End(stream, grpc));
            }
            Act::ServerReset(code) => server.reset(stream, code),
            Act::Push => {
                self.pushed += 2;
                let fields: Vec<Field> = vec![
                    (":method".into(), "GET".into()),
                    (":path".into(), "/pushed".into()),
                ];
                let block = server.coder.block(rng, &fields);
                let promised = self.pushed;
                server
                    .frames
                    .block(rng, stream, &block, false, Some(promised));
                let end = rng.bool();
                server.head(rng, promised, &[(":status", "200")], end);
            }
        }
    }

    /// The bytes that a side has to send are transferred.
    fn flights(&mut self, rng: &mut Rng) {
        let mut pieces = [&mut self.server, &mut self.client].map(|side| {
            let start = side.flown;
            side.flown = side.frames.bytes.len();
            let ranges = cut(rng, side.flown - start);
            let ranges = ranges
                .into_iter()
                .map(|range| range.start + start..range.end + start);
            ranges.rev().collect::<Vec<_>>()
        });
        // What a server sends answers what it has received before, not what it receives meanwhile.
        loop {
            let which = match (pieces[0].is_empty(), pieces[1].is_empty()) {
                (true, true) => return,
                (false, false) => rng.usize(..2),
                (empty, _) => usize::from(empty),
            };
            let direction = [Direction::Send, Direction::Receive][which];
            let range = pieces[which].pop().expect("one is left");
            self.transfers.push((direction, range));
        }
    }

    fn finish(self, from: From) -> Calls {
        Calls {
            received: self.client.frames.bytes,
            sent: self.server.frames.bytes,
            data: [self.client.frames.data, self.server.frames.data],
            transfers: self.transfers,
            events: [self.client.events, self.server.events],
            from,
        }
    }
}

impl Calls {
    /// Of `count` streams, at most `outstanding` at a time.
    pub fn random(rng: &mut Rng, count: u32, outstanding: usize) -> Self {
        let mut maker = Maker {
            client: Side::new(rng),
            server: Side::new(rng),
            open: Vec::new(),
            next: 1,
            pushed: 0,
            transfers: Vec::new(),
        };
        let from = if rng.u8(..8) == 0 {
            From::Upgrade
        } else {
            From::Preface
        };
        if from == From::Upgrade {
            maker.next = 3;
            maker.open.push((1, acts(rng, Method::Get)));
        }
        // Many servers speak first.
        let first = rng.bool() || from == From::Upgrade;
        if first {
            maker.server.frames.settings();
            if rng.bool() {
                maker.flights(rng);
            }
        }
        maker.client.frames.bytes.extend(frames::PREFACE);
        maker.client.frames.settings();
        // The client may hurry: these requests come before the server's first frame, which then goes before all else.
        for _ in 0..rng.u32(..3) {
            if !first {
                maker.open(rng);
            }
        }
        maker.flights(rng);
        if !first {
            maker.server.frames.settings();
        }
        while maker.next / 2 < count || !maker.open.is_empty() {
            let more = maker.next / 2 < count && maker.open.len() < outstanding;
            match rng.u8(..16) {
                0..=3 if more => maker.open(rng),
                4 => {
                    let last = maker.next.saturating_sub(2);
                    let side = if rng.bool() {
                        &mut maker.client
                    } else {
                        &mut maker.server
                    };
                    side.frames.noise(rng, last, false);
                    if rng.u8(..8) == 0 {
                        side.frames.frame(frames::GOAWAY, 0, 0, &[0; 12]);
                    }
                }
                5..=7 => maker.flights(rng),
                _ if !maker.open.is_empty() => {
                    // A server answers what it has received.
                    if maker.client.flown < maker.client.frames.bytes.len() {
                        maker.flights(rng);
                    }
                    maker.act(rng);
                }
                _ => {}
            }
        }
        maker.flights(rng);
        maker.finish(from)
    }

    fn bytes(&self, direction: Direction, range: &Range<usize>) -> &[u8] {
        match direction {
            Direction::Receive => &self.received[range.clone()],
            Direction::Send => &self.sent[range.clone()],
        }
    }

    /// Whether nobody needs to see these bytes.
    fn says_nothing(&self, direction: Direction, range: &Range<usize>) -> bool {
        let data = &self.data[direction as usize];
        let at = data.partition_point(|data| data.end < range.end);
        data.get(at).is_some_and(|data| data.start <= range.start)
    }

    /// Followed by who cannot read some of the transfers.
    pub fn follow_blinded(&self, unreadable: &[usize]) -> Connection {
        let mut connection = Connection::new(self.from);
        for (n, (direction, range)) in self.transfers.iter().enumerate() {
            if unreadable.contains(&n) {
                connection.hidden(*direction, range.len());
            } else {
                connection.transfer(*direction, self.bytes(*direction, range));
            }
        }
        connection
    }

    /// Followed from a transfer on.
    pub fn follow(&self, first: usize, from: From) -> Connection {
        let mut connection = Connection::new(from);
        for (n, (direction, range)) in self.transfers[first..].iter().enumerate() {
            if n % 2 == 0 && self.says_nothing(*direction, range) && first == 0 {
                connection.hidden(*direction, range.len());
            } else {
                connection.transfer(*direction, self.bytes(*direction, range));
            }
        }
        connection
    }

    /// What counts from a transfer on, by the model.
    pub fn counts(&self, first: usize) -> Vec<Count> {
        self.model(first, Model::default())
    }

    /// Also what the server says on streams that the client has given up.
    pub fn everything(&self) -> Vec<Count> {
        let model = Model {
            given_up_count: true,
            ..Model::default()
        };
        self.model(0, model)
    }

    fn model(&self, first: usize, mut model: Model) -> Vec<Count> {
        if self.from == From::Upgrade {
            model.open.insert(1, (0, Method::Get, false, false));
        }
        let mut next = [0, 0];
        for (n, (direction, range)) in self.transfers.iter().enumerate() {
            let side = *direction as usize;
            while let Some(&(at, event)) = self.events[side].get(next[side])
                && at < range.end
            {
                next[side] += 1;
                model.happens(event, *direction, n as u64 + 1, n >= first);
            }
        }
        model.counts
    }
}

/// Of each stream when its head came, its method, and whether it was answered or given up.
#[derive(Default)]
struct Model {
    given_up_count: bool,
    open: HashMap<u32, (u64, Method, bool, bool)>,
    counts: Vec<Count>,
}

impl Model {
    fn happens(&mut self, event: Event, direction: Direction, now: u64, counts: bool) {
        let count = match event {
            Event::Request(stream, method) => {
                self.open.insert(stream, (now, method, false, false));
                Some(Count::Requests(1))
            }
            Event::Final(stream, status) => self.open.get_mut(&stream).and_then(|open| {
                open.2 = true;
                let response = Count::Response(stream, Some(open.1), status, now - open.0);
                (self.given_up_count || !open.3).then_some(response)
            }),
            Event::End(stream, grpc) => self.open.remove(&stream).and_then(|open| {
                let call = grpc.map(|grpc| Count::Call(stream, grpc, now - open.0));
                call.filter(|_| self.given_up_count || !open.3)
            }),
            Event::Reset(stream) if direction == Direction::Receive => {
                self.open.get_mut(&stream).and_then(|open| {
                    let known = std::mem::replace(&mut open.3, true);
                    let count = Count::Abandoned(stream, Some(open.1), now - open.0);
                    (!known && !open.2).then_some(count)
                })
            }
            Event::Reset(stream) => self.open.remove(&stream).and_then(|open| {
                let count = Count::Refused(stream, Some(open.1), now - open.0);
                (!open.2 && !open.3).then_some(count)
            }),
        };
        self.counts.extend(count.filter(|_| counts));
    }
}
