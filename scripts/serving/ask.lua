-- Asks for the answers to the bodies in a file, one a line, in turns; prints one line of JSON at the end.
-- wrk -s ask.lua URL -- FILE

local bodies = {}

function init(arguments)
  for line in io.lines(arguments[1]) do
    bodies[#bodies + 1] = line
  end
  -- Threads of wrk begin at places of their own.
  math.randomseed(os.time() + tonumber(tostring({}):match("0x(%x+)"), 16) % 100000)
  place = math.random(#bodies)
end

function request()
  place = place % #bodies + 1
  return wrk.format("POST", nil, { ["content-type"] = "application/json" }, bodies[place])
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "refused": %d, "broken": %d, "p50_ms": %.4f, "p90_ms": %.4f, "p99_ms": %.4f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3
  ))
end
