-- For wrk: sends requests that were written beforehand, byte for byte, in turn, and prints the run's figures as JSON.
-- wrk -s wrk.lua URL -- FILE       FILE holds, for each request, its length in bytes, a line feed, and the request.

local requests, turn = {}, 0

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   local size = file:read("*n")
   while size do
      file:read(1)
      requests[#requests + 1] = file:read(size)
      size = file:read("*n")
   end
   file:close()
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": ' ..
      '{"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
