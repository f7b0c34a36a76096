// SPDX-License-Identifier: Apache-2.0
//! Libraries of TLS: by which of their functions they hand over what is within it, and how. Pure.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, anyhow, ensure};

use crate::tls::elf::{Elf, Function, Source};
use crate::tls::gopclntab;
use crate::tls::place::{self, Arguments, Refusal, Spot};
use crate::tls::unwind;

/// The programs of `src/bpf/tls/probes.bpf.h`, in the order in which they are attached: a call whose end is seen and whose beginning
/// is not does nothing, and the other way round it would stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Received,
    Sent,
    Made,
    Lives,
    Enter,
}

/// How a function says how much it has moved, as `src/bpf/tls/cookie.h` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returns {
    Int = 0,
    Long = 1,
    Flag = 2,
    /// Nothing that was not moved before.
    Nothing = 3,
    /// To where nobody knows.
    Nowhere = 4,
}

/// What a call is for that begins, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Read = 0,
    Write = 1,
    Flush = 2,
    Make = 3,
}

/// What a function does to a stream, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Accepts = 0,
    Connects = 1,
    GoesOn = 2,
    IsCleared = 3,
    IsNoLonger = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    Reads(Returns),
    Writes(Returns),
    /// What was written before.
    Flushes,
    /// A stream, and says for which end.
    Makes,
    Lives(Does),
}

/// Where one program runs in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub program: Program,
    pub offset: u64,
    pub cookie: u64,
}

/// What there is to do with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub library: &'static str,
    /// In the order in which they are attached.
    pub probes: Vec<Probe>,
    /// How many of them the kernel has to step over.
    pub stepped: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let emulated = self.probes.len() - self.stepped;
        write!(
            f,
            "{}, {} probes: {emulated} emulated, {} stepped",
            self.library,
            self.probes.len(),
            self.stepped
        )
    }
}

/// `SSL_peek` takes nothing. `SSL_read_early_data` and `SSL_write_early_data` call those with `_ex`, as does `SSL_write_ex2`'s
/// elder.
const OPENSSL: [(&str, Duty); 10] = [
    ("SSL_read", Duty::Reads(Returns::Int)),
    ("SSL_write", Duty::Writes(Returns::Int)),
    ("SSL_read_ex", Duty::Reads(Returns::Flag)),
    ("SSL_write_ex", Duty::Writes(Returns::Flag)),
    ("SSL_set_accept_state", Duty::Lives(Does::Accepts)),
    ("SSL_set_connect_state", Duty::Lives(Does::Connects)),
    ("SSL_accept", Duty::Lives(Does::GoesOn)),
    ("SSL_connect", Duty::Lives(Does::Connects)),
    ("SSL_clear", Duty::Lives(Does::IsCleared)),
    ("SSL_free", Duty::Lives(Does::IsNoLonger)),
];

/// Without these it is none of them.
const NEEDED: [&str; 4] = ["SSL_read", "SSL_write", "SSL_set_accept_state", "SSL_free"];

/// `LibreSSL` has no such function, and has its functions with `_ex` call those without, which would count twice.
const OF_OPENSSL: &str = "SSL_CTX_set_tlsext_max_fragment_length";
const OWN_IN_OPENSSL: [&str; 2] = ["SSL_read_ex", "SSL_write_ex"];

/// `gnutls_record_send_file` and `gnutls_record_send_early_data` write by others of these, or are a client's.
const GNUTLS: [(&str, Duty); 9] = [
    ("gnutls_record_recv", Duty::Reads(Returns::Long)),
    ("gnutls_record_recv_seq", Duty::Reads(Returns::Long)),
    ("gnutls_record_recv_early_data", Duty::Reads(Returns::Long)),
    ("gnutls_record_recv_packet", Duty::Reads(Returns::Nowhere)),
    (SENDS, Duty::Writes(Returns::Long)),
    (SENDS_SINCE_3_6_3, Duty::Writes(Returns::Long)),
    ("gnutls_record_uncork", Duty::Flushes),
    ("gnutls_init", Duty::Makes),
    ("gnutls_deinit", Duty::Lives(Does::IsNoLonger)),
];
const SENDS: &str = "gnutls_record_send";
/// Where that is there the other one does nothing but call it.
const SENDS_SINCE_3_6_3: &str = "gnutls_record_send2";
/// More than such a call takes.
const CALL: usize = 32;

const NEEDED_OF_GNUTLS: [&str; 4] = ["gnutls_record_recv", SENDS, "gnutls_init", "gnutls_deinit"];

/// Go's own, in each program that is made of it.
const GO: [(&str, Duty); 5] = [
    ("crypto/tls.(*Conn).Read", Duty::Reads(Returns::Long)),
    ("crypto/tls.(*Conn).Write", Duty::Writes(Returns::Long)),
    (
        "crypto/tls.(*Conn).serverHandshake",
        Duty::Lives(Does::Accepts),
    ),
    (
        "crypto/tls.(*Conn).clientHandshake",
        Duty::Lives(Does::Connects),
    ),
    ("crypto/tls.(*Conn).Close", Duty::Lives(Does::IsNoLonger)),
];

/// In the cookie.
const IS_OF_GO: u64 = 1 << 24;

/// What is to be done with a file; nothing if it is no library that is known. Fails where not all can be done.
pub fn plan<S: Source>(elf: &Elf<S>) -> Result<Option<Plan>> {
    let names: Vec<_> = GO.iter().map(|(name, _)| *name).collect();
    let functions = gopclntab::functions(elf, &names)?;
    if !functions.is_empty() {
        return planned_for_go(&functions);
    }
    let names = OPENSSL.iter().chain(&GNUTLS).map(|(name, _)| *name);
    let names: Vec<_> = names.chain([OF_OPENSSL]).collect();
    let functions = elf.functions(&names)?;
    let has = |needed: &[&str]| needed.iter().all(|name| functions.contains_key(name));
    let follow = |offset| unwind::function_at(elf, offset);
    if has(&NEEDED) {
        planned(&functions, &follow).map(Some)
    } else if has(&NEEDED_OF_GNUTLS) {
        planned_for_gnutls(&functions, &follow).map(Some)
    } else {
        Ok(None)
    }
}

/// The function around a place in a file, if that is known.
type Follow<'f> = &'f dyn Fn(u64) -> Result<Option<Function>>;

/// Parts of one function, whatever it goes on in.
const MOST_PARTS: usize = 8;

/// Where a function returns, or another one in its place that it leaves to by a jump.
fn exits(function: &Function, follow: Follow<'_>) -> Result<Vec<Spot>> {
    let mut parts = vec![function.clone()];
    loop {
        match place::exits(&parts) {
            Err(Refusal::GoesOn(target)) if parts.len() < MOST_PARTS => {
                let next = follow(target)?.filter(|it| !parts.contains(it));
                parts.push(next.with_context(|| format!("it {}", Refusal::GoesOn(target)))?);
            }
            outcome => return outcome.map_err(|refusal| anyhow!("it {refusal}")),
        }
    }
}

/// A program may have no servers in it, or no clients.
fn planned_for_go(functions: &BTreeMap<&str, Function>) -> Result<Option<Plan>> {
    let mut plan = Plan {
        library: "Go",
        probes: Vec::new(),
        stepped: 0,
    };
    for (name, duty) in GO {
        let Some(function) = functions.get(name) else {
            continue;
        };
        ensure!(
            place::begins_as_go_does(&function.code),
            "{name} does not begin as functions of Go do"
        );
        // What it leaves for by a jump is none of its own.
        plan.add(name, function, duty, &|_| Ok(None))?;
    }
    for probe in &mut plan.probes {
        probe.cookie |= IS_OF_GO;
    }
    plan.put_in_order();
    let reads = plan.probes.iter().any(|it| it.program == Program::Received);
    let writes = plan.probes.iter().any(|it| it.program == Program::Sent);
    Ok((reads && writes).then_some(plan))
}

fn planned_for_gnutls(functions: &BTreeMap<&str, Function>, follow: Follow<'_>) -> Result<Plan> {
    let mut plan = Plan {
        library: "GnuTLS",
        probes: Vec::new(),
        stepped: 0,
    };
    for (name, duty) in GNUTLS {
        let Some(function) = functions.get(name) else {
            continue;
        };
        if name == SENDS && functions.contains_key(SENDS_SINCE_3_6_3) {
            ensure!(
                function.code.len() <= CALL,
                "{SENDS} does more than to call {SENDS_SINCE_3_6_3}"
            );
            continue;
        }
        plan.add(name, function, duty, follow)?;
    }
    plan.put_in_order();
    Ok(plan)
}

fn planned(functions: &BTreeMap<&str, Function>, follow: Follow<'_>) -> Result<Plan> {
    let is_openssl = functions.contains_key(OF_OPENSSL);
    let mut plan = Plan {
        library: if is_openssl {
            "OpenSSL"
        } else {
            "like OpenSSL"
        },
        probes: Vec::new(),
        stepped: 0,
    };
    for (name, duty) in OPENSSL {
        let Some(function) = functions.get(name) else {
            continue;
        };
        if is_openssl || !OWN_IN_OPENSSL.contains(&name) {
            plan.add(name, function, duty, follow)?;
        }
    }
    plan.put_in_order();
    Ok(plan)
}

impl Plan {
    fn add(
        &mut self,
        name: &str,
        function: &Function,
        duty: Duty,
        follow: Follow<'_>,
    ) -> Result<()> {
        self.add_or_say_why(function, duty, follow)
            .with_context(|| format!("{name} cannot be probed"))
    }

    fn add_or_say_why(
        &mut self,
        function: &Function,
        duty: Duty,
        follow: Follow<'_>,
    ) -> Result<()> {
        let (begins, exit, returns) = match duty {
            Duty::Lives(does) => {
                let entry = place::entry(function, Arguments::Two);
                let entry = entry.map_err(|refusal| anyhow!("it {refusal}"))?;
                self.put(Program::Lives, entry, does as u64);
                return Ok(());
            }
            Duty::Reads(returns) => (Begins::Read, Program::Received, returns),
            Duty::Writes(returns) => (Begins::Write, Program::Sent, returns),
            Duty::Flushes => (Begins::Flush, Program::Sent, Returns::Nothing),
            Duty::Makes => (Begins::Make, Program::Made, Returns::Int),
        };
        let arguments = match returns {
            Returns::Flag => Arguments::Four,
            _ => Arguments::Two,
        };
        let entry = place::entry(function, arguments);
        let entry = entry.map_err(|refusal| anyhow!("it {refusal}"))?;
        self.put(Program::Enter, entry, begins as u64);
        for spot in exits(function, follow)? {
            let at_it = |it: &&Probe| it.program == exit && it.offset == spot.offset;
            let what = |it: &Probe| it.cookie >> 16;
            let known = self.probes.iter().find(at_it).map(what);
            ensure!(
                known.is_none_or(|it| it == returns as u64),
                "it returns where another one does that says otherwise what it has moved"
            );
            self.put(exit, spot, returns as u64);
        }
        Ok(())
    }

    fn put(&mut self, program: Program, spot: Spot, what: u64) {
        let probe = Probe {
            program,
            offset: spot.offset,
            cookie: what << 16 | u64::from(spot.frame.cast_unsigned()),
        };
        // Several functions may leave for the same one.
        if !self.probes.contains(&probe) {
            self.stepped += usize::from(!spot.emulated);
            self.probes.push(probe);
        }
    }

    fn put_in_order(&mut self) {
        self.probes.sort_by_key(|it| (it.program, it.offset));
    }
}

#[cfg(test)]
mod tests {
    use crate::tls::elf;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_programs() {
        let header = include_str!("../bpf/tls/cookie.h");
        let in_order = |name: &str| -> Vec<&str> {
            let (_, rest) = header.split_once(&format!("enum {name} {{")).unwrap();
            let (all, _) = rest.split_once("};").unwrap();
            let lines = all.lines().filter_map(|it| it.trim().split(',').next());
            lines.filter(|it| it.starts_with("TLS_")).collect()
        };
        let results = in_order("tls_result");
        assert_eq!(results[Returns::Int as usize], "TLS_INT");
        assert_eq!(results[Returns::Long as usize], "TLS_LONG");
        assert_eq!(results[Returns::Flag as usize], "TLS_FLAG");
        assert_eq!(results[Returns::Nothing as usize], "TLS_NOTHING");
        assert_eq!(results[Returns::Nowhere as usize], "TLS_NOWHERE");
        let calls = in_order("tls_call_kind");
        assert_eq!(calls[Begins::Read as usize], "TLS_READ");
        assert_eq!(calls[Begins::Write as usize], "TLS_WRITE");
        assert_eq!(calls[Begins::Flush as usize], "TLS_FLUSH");
        assert_eq!(calls[Begins::Make as usize], "TLS_MAKE");
        let births = in_order("tls_birth");
        for (does, name) in [
            (Does::Accepts, "TLS_ACCEPTS"),
            (Does::Connects, "TLS_CONNECTS"),
            (Does::GoesOn, "TLS_GOES_ON"),
            (Does::IsCleared, "TLS_IS_CLEARED"),
            (Does::IsNoLonger, "TLS_IS_NO_LONGER"),
        ] {
            assert_eq!(births[does as usize], name);
        }
        assert!(header.contains("#define TLS_WHAT_SHIFT 16\n"));
        assert!(header.contains("#define TLS_GO (1 << 24)\n") && IS_OF_GO == 1 << 24);
    }

    fn nowhere(_: u64) -> Result<Option<Function>> {
        Ok(None)
    }

    /// `push %rbx; pop %rbx; ret`.
    #[cfg(target_arch = "x86_64")]
    fn function(offset: u64) -> Function {
        Function {
            offset,
            code: vec![0x53, 0x5b, 0xc3],
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn library(names: &[&'static str]) -> BTreeMap<&'static str, Function> {
        let offsets = (1..).map(|it| it * 0x100);
        let functions = names.iter().zip(offsets);
        functions
            .map(|(name, offset)| (*name, function(offset)))
            .collect()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn ends_are_attached_before_beginnings() {
        let functions = ["SSL_write_ex", "SSL_read", "SSL_free", OF_OPENSSL];
        let plan = planned(&library(&functions), &nowhere).unwrap();
        let probe = |program, offset, what: u64| Probe {
            program,
            offset,
            cookie: what << 16,
        };
        let expected = [
            probe(Program::Received, 0x202, 0),
            probe(Program::Sent, 0x102, 2),
            probe(Program::Lives, 0x300, 4),
            probe(Program::Enter, 0x100, 1),
            probe(Program::Enter, 0x200, 0),
        ];
        assert_eq!(plan.probes, expected);
        assert_eq!(plan.to_string(), "OpenSSL, 5 probes: 3 emulated, 2 stepped");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_may_count_twice_is_not_probed() {
        let both = ["SSL_read", "SSL_read_ex"];
        assert_eq!(planned(&library(&both), &nowhere).unwrap().probes.len(), 2);
        let both = ["SSL_read", "SSL_read_ex", OF_OPENSSL];
        assert_eq!(planned(&library(&both), &nowhere).unwrap().probes.len(), 4);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_several_functions_leave_for_is_probed_once() {
        let leaves = |offset: u64, by: u8| Function {
            offset,
            code: vec![0x53, 0x5b, 0xeb, by],
        };
        let mut functions = library(&["gnutls_init", "gnutls_deinit", "gnutls_record_send"]);
        functions.insert("gnutls_record_recv", leaves(0x800, 0x7c));
        functions.insert("gnutls_record_recv_seq", leaves(0x840, 0x3c));
        let follow = |at| Ok((at == 0x880).then(|| function(0x880)));
        let plan = planned_for_gnutls(&functions, &follow).unwrap();
        let of = |program| -> Vec<_> {
            let its = plan.probes.iter().filter(|it| it.program == program);
            its.map(|it| (it.offset, it.cookie >> 16)).collect()
        };
        assert_eq!(of(Program::Received), [(0x882, 1)]);
        assert_eq!(of(Program::Sent), [(0x302, 1)]);
        assert_eq!(of(Program::Made), [(0x102, 0)]);
        assert_eq!(of(Program::Lives), [(0x200, 4)]);
        let begin = [(0x100, 3), (0x300, 1), (0x800, 0), (0x840, 0)];
        assert_eq!(of(Program::Enter), begin);
        // It is not known what is there, or that never ends.
        assert!(planned_for_gnutls(&functions, &nowhere).is_err());
        let on = |at| Ok(Some(leaves(at, 0x7c)));
        assert!(planned_for_gnutls(&functions, &on).is_err());
        // The older name does the work itself beside the newer one.
        functions.insert("gnutls_record_send2", function(0x900));
        assert!(planned_for_gnutls(&functions, &follow).is_ok());
        functions.get_mut(SENDS).unwrap().code = vec![0x90; CALL + 1];
        assert!(planned_for_gnutls(&functions, &follow).is_err());
        functions.insert(SENDS, function(0x100));
        assert!(planned_for_gnutls(&functions, &follow).is_ok());
        // One says by its result what it has moved, the other one does not.
        functions.insert("gnutls_record_recv_packet", leaves(0x860, 0x1c));
        assert!(planned_for_gnutls(&functions, &follow).is_err());
    }

    /// `TLS_FILES=100000` for more of it; a failure says by which seed.
    #[test]
    fn whoever_has_made_a_file_there_is_an_end_to_it_and_no_spot_outside() {
        let times = std::env::var("TLS_FILES").map_or(2000, |it| it.parse().unwrap());
        for seed in 0..times {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut table = [0; 200];
            random.fill(&mut table);
            let (mut bytes, _) = match random.bool() {
                true => elf::tests::with_section(".gopclntab", &table),
                false => elf::tests::with_section(".other", &[]),
            };
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            if let Ok(Some(plan)) = Elf::open(&bytes[..]).and_then(|elf| plan(&elf)) {
                let end = bytes.len() as u64;
                assert!(plan.probes.iter().all(|it| it.offset < end), "{seed}");
            }
        }
    }

    /// Any bytes may be code.
    #[test]
    fn spots_are_where_instructions_begin() {
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut code = vec![0; random.usize(..200)];
            random.fill(&mut code);
            let function = Function { offset: 0, code };
            let mut spots = place::exits(std::slice::from_ref(&function)).unwrap_or_default();
            spots.extend(place::entry(&function, Arguments::Four));
            let code = function.code;
            for spot in spots {
                let at = spot.offset as usize;
                assert!(at < code.len(), "{seed}");
                #[cfg(target_arch = "x86_64")]
                {
                    let decoder = iced_x86::Decoder::new(64, &code, 0);
                    assert!(
                        decoder.into_iter().any(|it| it.ip() == spot.offset),
                        "{seed}"
                    );
                }
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn one_function_that_cannot_be_probed_is_enough() {
        let mut functions = library(&["SSL_read", "SSL_write"]);
        functions.insert(
            "SSL_write",
            Function {
                offset: 0,
                code: vec![0xeb, 0x70],
            },
        );
        let error = format!("{:#}", planned(&functions, &nowhere).unwrap_err());
        assert_eq!(error, "SSL_write cannot be probed: it leaves by a jump");
    }
}
