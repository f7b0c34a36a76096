// SPDX-License-Identifier: Apache-2.0
//! gRPC of python, which is that of C++: how calls end, and that some do not.

use std::fs;
use std::path::Path;
use std::process::Command;

use common::alone;
use common::process::eventually;
use common::servers::Server;
use common::web::{sample, text};

use super::{CALLS, agent, assert_nothing_is_unknown, counted, expected, missed, pid, run, tcp};

/// A server whose calls end as they are asked to, and a client that asks: so often with each status, of each of the four forms.
const GRPC: &str = r#"
import grpc, sys
from concurrent import futures
FORMS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
CODES = {code.value[0]: code for code in grpc.StatusCode}

def end(context, status):
    if status:
        context.set_code(CODES[status])
        context.set_details("as asked")

def one(request, context):
    end(context, request[0])
    return b"answer"

def some(request, context):
    for _ in range(3):
        yield b"answer"
    end(context, request[0])

class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        form = details.method.rsplit("/", 1)[1]
        first = lambda requests: list(requests)[0]
        of = {
            "unary_unary": one,
            "unary_stream": some,
            "stream_unary": lambda requests, context: one(first(requests), context),
            "stream_stream": lambda requests, context: some(first(requests), context),
        }
        return getattr(grpc, form + "_rpc_method_handler")(of[form])

if sys.argv[1] == "serve":
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Handler()])
    assert server.add_insecure_port(sys.argv[2])
    server.start()
    server.wait_for_termination()
with grpc.insecure_channel(sys.argv[2]) as channel:
    for form in FORMS:
        call = getattr(channel, form)("/test/" + form)
        for status in range(17):
            for _ in range(status % 3 + 1):
                request = bytes([status])
                try:
                    answer = call(iter([request]) if form.startswith("stream") else request)
                    if form.endswith("stream"):
                        list(answer)
                    ended = 0
                except grpc.RpcError as error:
                    ended = error.code().value[0]
                assert ended == status, (form, status, ended)
"#;

pub fn grpc_calls_by_their_status(backend: &str) {
    let _alone = alone();
    let (agent, address) = agent(backend);
    let server = Server::start("python3-grpcio", |address, folder| {
        let script = folder.join("grpc.py.txt");
        fs::write(&script, GRPC).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).args(["serve", &address.to_string()]);
        command
    });
    run(Command::new("/usr/bin/python3")
        .arg(server.file("grpc.py.txt"))
        .args(["call", &tcp(&server.address).to_string()]));
    let pid = pid(server.pid());
    let calls = |status: u16| 4 * (u64::from(status) % 3 + 1);
    let all: u64 = (0..17).map(calls).sum();
    eventually(expected([("POST", "200", all)]), || {
        counted(&text(address, "/metrics"), &pid)
    });
    let metrics = text(address, "/metrics");
    for status in 0..17 {
        let label = format!("rpc_grpc_status_code=\"{status}\"");
        let count = sample(&metrics, CALLS, &[&pid, &label, "rpc_system=\"grpc\""]);
        assert_eq!(count, Some(calls(status) as f64), "status {status}");
    }
    assert_nothing_is_unknown(&metrics);
    let report = agent.report();
    let node = &report["Process"]["nodes"][format!("test;{}", server.pid())];
    let errors = node["metrics"]["grpc_errors_per_second"]["samples"].as_array();
    let errors = errors.expect("errors of gRPC").iter();
    assert!(
        errors
            .map(|it| it["value"].as_f64().unwrap())
            .any(|it| it > 0.0)
    );
}

/// A server that never answers, or no more than once, and a client that gives up each of the four forms: when its deadline is
/// over, and by itself, before there is an answer and behind one. It does so once the server says that all calls are there.
const ENDLESS: &str = r#"
import grpc, os, sys, time
from concurrent import futures
FORMS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
BEGUN = sys.argv[3]

def begin():
    with open(BEGUN, "ab", 0) as file:
        file.write(b".")

def wait(context):
    while context.is_active():
        time.sleep(0.01)

def one(request, context):
    begin()
    wait(context)
    return b"nobody hears"

def some(request, context):
    begin()
    if dict(context.invocation_metadata())["says"] == "answer":
        yield b"answer"
    wait(context)

class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        form = details.method.rsplit("/", 1)[1]
        return getattr(grpc, form + "_rpc_method_handler")(some if form.endswith("stream") else one)

if sys.argv[1] == "serve":
    server = grpc.server(futures.ThreadPoolExecutor(64), handlers=[Handler()])
    assert server.add_insecure_port(sys.argv[2])
    server.start()
    server.wait_for_termination()

def begun(count):
    limit = time.monotonic() + 30
    while os.path.getsize(BEGUN) < count:
        assert time.monotonic() < limit, "the server is too slow"
        time.sleep(0.01)

def end(form, call, code):
    try:
        list(call) if form.endswith("stream") else call.result()
    except grpc.FutureCancelledError:
        assert code == grpc.StatusCode.CANCELLED
    except grpc.RpcError as error:
        assert error.code() == code, error
    else:
        raise Exception("it has come to an end")

with grpc.insecure_channel(sys.argv[2]) as channel:
    def call(form, says="nothing", timeout=None):
        how = getattr(channel, form)("/test/" + form)
        how = how if form.endswith("stream") else how.future
        request = iter([b"a", b"b"]) if form.startswith("stream") else b"a"
        return form, how(request, timeout=timeout, metadata=[("says", says)])
    open(BEGUN, "wb").close()
    calls = [call(form, timeout=5) for form in FORMS for _ in range(3)]
    begun(12)
    for form, it in calls:
        end(form, it, grpc.StatusCode.DEADLINE_EXCEEDED)
    calls = [call(form) for form in FORMS for _ in range(5)]
    begun(32)
    for form, it in calls:
        it.cancel()
        end(form, it, grpc.StatusCode.CANCELLED)
    calls = [call(form, "answer") for form in FORMS[1::2] for _ in range(7)]
    begun(46)
    for form, it in calls:
        assert next(it) == b"answer"
        it.cancel()
        end(form, it, grpc.StatusCode.CANCELLED)
"#;

/// Both sides know of a deadline. Whose end of it comes first the server does not say: it resets, or answers in the meantime.
pub fn grpc_deadlines_and_cancels(backend: &str) {
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let script = |folder: &Path| folder.join("endless.py.txt");
    let server = Server::start("python3-grpcio", |address, folder| {
        fs::write(script(folder), ENDLESS).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(script(folder))
            .args(["serve", &address.to_string()])
            .arg(folder.join("begun"));
        command
    });
    run(Command::new("/usr/bin/python3")
        .arg(server.file("endless.py.txt"))
        .args(["call", &tcp(&server.address).to_string()])
        .arg(server.file("begun")));
    let (deadlines, cancels, answered) = (12, 20, 14);
    let pid = pid(server.pid());
    let all = deadlines + cancels + answered;
    let ends = || {
        let metrics = text(address, "/metrics");
        let (requests, kinds) = counted(&metrics, &pid);
        let answers: u64 = kinds.values().sum();
        let given_up = missed(&metrics, "cancelled") + missed(&metrics, "reset");
        (requests, answers + given_up)
    };
    eventually((all, all), ends);
    let metrics = text(address, "/metrics");
    let answers: u64 = counted(&metrics, &pid).1.values().sum();
    // Those of the server itself, where it was faster than its client.
    assert!(
        (answered..=answered + deadlines).contains(&answers),
        "{answers}"
    );
    assert!(missed(&metrics, "cancelled") >= cancels);
    let calls = sample(&metrics, CALLS, &[&pid]).unwrap_or(0.0) as u64;
    assert!(
        calls <= answers - answered,
        "no call that was cancelled has an end"
    );
    assert_eq!(missed(&metrics, "streams_full"), 0);
}
