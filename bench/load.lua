-- wrk asks with pictures in turn and says what it saw as a line of JSON: wrk -s load.lua URL -- PAUSE [PICTURE ...]
-- PAUSE is milliseconds between two requests of a connection; without pictures it is a GET.

local requests, turn, pause = {}, 0, 0

function init(arguments)
  pause = tonumber(arguments[1])
  for i = 2, #arguments do
    local file = assert(io.open(arguments[i], "rb"))
    requests[#requests + 1] = wrk.format("POST", nil, {["Content-Type"] = "image/png"}, file:read("*a"))
    file:close()
  end
  if #requests == 0 then requests[1] = wrk.format("GET") end
end

function delay() return pause end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '\n{"seconds": %.6f, "answers": %d, "refused": %d, "unanswered": %d, "milliseconds": [%.3f, %.3f, %.3f]}\n',
    summary.duration / 1e6, summary.requests, failed.status, failed.connect + failed.read + failed.write + failed.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
