// SPDX-License-Identifier: Apache-2.0
//! Libraries of TLS: by which of their functions they hand over what is within it, and how. Pure.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, anyhow, ensure};

use crate::tls::elf::{Elf, Function, Source};
use crate::tls::gopclntab;
use crate::tls::place::{self, Spot};

/// The programs of `src/bpf/tls/probes.bpf.h`, in the order in which they are attached: a call whose end is seen and whose beginning
/// is not does nothing, and the other way round it would stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Received,
    Sent,
    Lives,
    Enter,
}

/// How a function says how much it has moved, as `src/bpf/tls/cookie.h` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returns {
    Int = 0,
    Long = 1,
    Flag = 2,
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
    let names: Vec<_> = OPENSSL.iter().map(|(name, _)| *name).collect();
    let functions = elf.functions(&[&names[..], &[OF_OPENSSL]].concat())?;
    if !NEEDED.iter().all(|name| functions.contains_key(name)) {
        return Ok(None);
    }
    planned(&functions).map(Some)
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
        plan.add(function, duty)
            .with_context(|| format!("{name} cannot be probed"))?;
    }
    for probe in &mut plan.probes {
        probe.cookie |= IS_OF_GO;
    }
    plan.probes.sort_by_key(|it| (it.program, it.offset));
    let reads = plan.probes.iter().any(|it| it.program == Program::Received);
    let writes = plan.probes.iter().any(|it| it.program == Program::Sent);
    Ok((reads && writes).then_some(plan))
}

fn planned(functions: &BTreeMap<&str, Function>) -> Result<Plan> {
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
            plan.add(function, duty)
                .with_context(|| format!("{name} cannot be probed"))?;
        }
    }
    plan.probes.sort_by_key(|it| (it.program, it.offset));
    Ok(plan)
}

impl Plan {
    fn add(&mut self, function: &Function, duty: Duty) -> Result<()> {
        let code = &function.code;
        let entry = place::entry(code).map_err(|refusal| anyhow!("it {refusal}"))?;
        let (exit, returns) = match duty {
            Duty::Lives(does) => {
                self.put(Program::Lives, function, entry, does as u64);
                return Ok(());
            }
            Duty::Reads(returns) => (Program::Received, returns),
            Duty::Writes(returns) => (Program::Sent, returns),
        };
        self.put(Program::Enter, function, entry, 0);
        for spot in place::exits(code).map_err(|refusal| anyhow!("it {refusal}"))? {
            self.put(exit, function, spot, returns as u64);
        }
        Ok(())
    }

    fn put(&mut self, program: Program, function: &Function, spot: Spot, what: u64) {
        self.stepped += usize::from(!spot.emulated);
        self.probes.push(Probe {
            program,
            offset: function.offset + spot.offset,
            cookie: what << 16 | u64::from(spot.frame.cast_unsigned()),
        });
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
        let plan = planned(&library(&[
            "SSL_write_ex",
            "SSL_read",
            "SSL_free",
            OF_OPENSSL,
        ]))
        .unwrap();
        let probe = |program, offset, what: u64| Probe {
            program,
            offset,
            cookie: what << 16,
        };
        let expected = [
            probe(Program::Received, 0x202, 0),
            probe(Program::Sent, 0x102, 2),
            probe(Program::Lives, 0x300, 4),
            probe(Program::Enter, 0x100, 0),
            probe(Program::Enter, 0x200, 0),
        ];
        assert_eq!(plan.probes, expected);
        assert_eq!(plan.to_string(), "OpenSSL, 5 probes: 3 emulated, 2 stepped");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_may_count_twice_is_not_probed() {
        let both = ["SSL_read", "SSL_read_ex"];
        assert_eq!(planned(&library(&both)).unwrap().probes.len(), 2);
        let both = ["SSL_read", "SSL_read_ex", OF_OPENSSL];
        assert_eq!(planned(&library(&both)).unwrap().probes.len(), 4);
    }

    /// `TLS_FILES=100000` for more of it; a failure says by which seed.
    #[test]
    fn whoever_has_made_a_file_there_is_an_end_to_it_and_no_spot_outside() {
        let times = std::env::var("TLS_FILES").map_or(2000, |it| it.parse().unwrap());
        for seed in 0..times {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut bytes, _) = match random.bool() {
                true => elf::tests::with_section(".gopclntab", &[random.u8(..); 200]),
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
            let mut spots = place::exits(&code).unwrap_or_default();
            spots.extend(place::entry(&code));
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
        let error = format!("{:#}", planned(&functions).unwrap_err());
        assert_eq!(error, "SSL_write cannot be probed: it leaves by a jump");
    }
}
