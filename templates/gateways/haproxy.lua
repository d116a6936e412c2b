local identity = { "x-key-id", "x-key-name", "x-organization-id", "x-key-scopes" }
local denials = { [400] = true, [401] = true, [403] = true, [429] = true, [503] = true }
local passed_on = { "content-type", "www-authenticate", "retry-after" }

core.register_action("keystead", { "http-req" }, function(txn)
  local request = txn.http:req_get_headers()
  local asked = { ["keystead-asker"] = { "gateway" }, ["x-forwarded-for"] = {} }
  for _, name in ipairs({ "authorization", "x-api-key", "user-agent", "x-forwarded-for" }) do
    local lines = request[name] or {}
    -- From 0 on; pairs() knows no order, and the last hop of X-Forwarded-For is the one that counts.
    local number = 0
    while lines[number] do
      asked[name] = asked[name] or {}
      table.insert(asked[name], lines[number])
      number = number + 1
    end
  end
  table.insert(asked["x-forwarded-for"], txn.f:src())

  local answer = core.httpclient():get({
    url = "http://keystead/v1/forward-auth",
    dst = "abns@keystead",
    headers = asked,
    timeout = 4000,
  })

  if answer.status == 200 then
    for _, name in ipairs(identity) do
      txn.http:req_set_header(name, answer.headers[name][0])
    end
    txn:set_var("txn.keystead", "allow")
  end
  -- Anything else is no answer: haproxy.cfg denies what is not allowed.
  if not denials[answer.status] then
    return
  end

  local denied = txn:reply({ status = answer.status, reason = answer.reason, body = answer.body })
  for _, name in ipairs(passed_on) do
    for _, value in pairs(answer.headers[name] or {}) do
      denied:add_header(name, value)
    end
  end
  txn:done(denied)
end)
