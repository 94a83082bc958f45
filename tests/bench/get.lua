-- tests/bench/get.lua - the load for wrk: asks for the paths of the file BENCH_BODIES (one a line) in
-- turn, with BENCH_TOKEN as bearer token and apikey, and prints what happened as post.lua does.
local next_thread = 0
local requests = {}
local at = 0

function setup(thread)
   thread:set("thread_number", next_thread)
   next_thread = next_thread + 1
end

function init()
   local token = os.getenv("BENCH_TOKEN")
   local headers = {
      ["Accept"] = "application/json",
      ["Authorization"] = "Bearer " .. token,
      ["apikey"] = token,
   }
   for path in io.lines(os.getenv("BENCH_BODIES")) do
      requests[#requests + 1] = wrk.format("GET", path, headers)
   end
   at = thread_number * 7
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
