-- Same policy as kamailio.cfg, as a KEMI Lua script.
function ksr_request_route()
    if KSR.maxfwd.process_maxfwd(10) < 0 then KSR.sl.sl_send_reply(483, "Too Many Hops") return 1 end
    if KSR.is_CANCEL() then if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end return 1 end
    if KSR.siputils.has_totag() > 0 then
        if KSR.rr.loose_route() > 0 then KSR.tm.t_relay() return 1 end
        if KSR.is_ACK() then if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end return 1 end
        KSR.sl.sl_send_reply(404, "Not here")
        return 1
    end
    if KSR.tm.t_check_trans() == 0 then return 1 end
    if KSR.is_REGISTER() then
        if KSR.auth.pv_auth_check("gw.example.net", "pw" .. KSR.kx.get_fuser(), 0, 0) < 0 then
            KSR.auth.auth_challenge("gw.example.net", 1)
            return 1
        end
        if KSR.registrar.save("location", 0) < 0 then KSR.sl.sl_reply_error() end
        return 1
    end
    KSR.rr.record_route()
    if KSR.kx.get_ruser() == nil or KSR.kx.get_ruser() == "" then KSR.sl.sl_send_reply(484, "Address Incomplete") return 1 end
    if KSR.registrar.lookup("location") < 0 then KSR.sl.sl_send_reply(404, "Not Found") return 1 end
    if KSR.tm.t_relay() < 0 then KSR.sl.sl_reply_error() end
    return 1
end
