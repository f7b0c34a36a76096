// SPDX-License-Identifier: Apache-2.0
//! What servers serve is what is counted. One program, so that an agent starts once for all tests of a backend: they come
//! one after the other, as their names begin with it.

mod agent;
mod processes;
mod readers;
mod requests;
mod servers;

use common::by_backend;

use processes::{
    a_child_that_exits_is_counted, a_killed_agent_is_replaced, a_reused_pid_is_counted_on,
    an_idle_process_stays_listed, the_agent_is_no_server,
};
use readers::{
    a_second_family_of_addresses, every_call_counts, threads_count_into_their_process,
    two_messages_of_one_call_count_both,
};
use requests::{
    any_method_target_and_version, only_stream_sockets_carry_requests, other_protocols_are_none,
    redis_commands_are_none,
};
use servers::{haproxy_before_nginx, nginx_by_worker, nginx_under_wrk, nodejs, python};

common::reader!();

by_backend!(
    a_child_that_exits_is_counted,
    a_reused_pid_is_counted_on,
    an_idle_process_stays_listed,
    the_agent_is_no_server,
    a_killed_agent_is_replaced,
    every_call_counts,
    two_messages_of_one_call_count_both,
    a_second_family_of_addresses,
    threads_count_into_their_process,
    any_method_target_and_version,
    other_protocols_are_none,
    redis_commands_are_none,
    only_stream_sockets_carry_requests,
    nginx_by_worker,
    nginx_under_wrk,
    python,
    nodejs,
    haproxy_before_nginx,
);
