-- wrk script: POST submissions of tasks with many keys in turn.  Environment: KEYS (separated by commas).
wrk.method = "POST"
wrk.body = '{"prompt": "a red fox in the snow, evening light", "model": "bench-1"}'
wrk.headers["Content-Type"] = "application/json"
local keys, at = {}, 0
for key in os.getenv("KEYS"):gmatch("[^,]+") do keys[#keys + 1] = key end
function request()
  at = at % #keys + 1
  wrk.headers["Authorization"] = "Bearer " .. keys[at]
  return wrk.format()
end
function done(s, lat, req)
  local e = s.errors
  io.write(string.format('RESULT {"requests":%d,"duration_us":%d,"p50":%d,"p99":%d,"err_status":%d,"err_read":%d,"err_conn":%d,"err_timeout":%d,"err_write":%d}\n',
    s.requests, s.duration, lat:percentile(50), lat:percentile(99), e.status, e.read, e.connect, e.timeout, e.write))
end
