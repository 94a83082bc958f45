-- tests/bench/post.lua - the load for wrk: posts the bodies of the file BENCH_BODIES (one JSON body
-- a line) in turn, with BENCH_TOKEN as bearer token, and prints what happened as one JSON line.
-- There is no response() on purpose: with one, wrk copies every reply into Lua and becomes slow.
-- wrk itself counts statuses above 399; the driver checks the stored rows as well.
local next_thread = 0
local requests = {}
local at = 0

function setup(thread)
   thread:set("thread_number", next_thread)
   next_thread = next_thread + 1
end

function init()
   local headers = {
      ["Content-Type"] = "application/json",
      ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"),
   }
   for body in io.lines(os.getenv("BENCH_BODIES")) do
      requests[#requests + 1] = wrk.format("POST", nil, headers, body)
   end
   at = thread_number * 1009 -- so that two threads do not post the same lines side by side
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"seconds":%.3f,"p50_ms":%.3f,"p90_ms":%.3f,"p99_ms":%.3f,' ..
      '"max_ms":%.3f,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
      latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
