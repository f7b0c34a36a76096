-- SPDX-License-Identifier: Apache-2.0
-- Pipelines of 16. Each thread stops with nothing on its way, which takes one connection a thread.
local depth, pipelines = 16, 50
local answers = 0

function init()
    pipeline = string.rep(wrk.format("GET", "/"), depth)
end

function request()
    return pipeline
end

function response()
    answers = answers + 1
    if answers == depth * pipelines then
        wrk.thread:stop()
    end
end
