# Same policy as kamailio.cfg, as a KEMI Python script.
import KSR as KSR

def mod_init():
    return kamailio()

class kamailio:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        if KSR.maxfwd.process_maxfwd(10) < 0:
            KSR.sl.sl_send_reply(483, "Too Many Hops")
            return 1
        if KSR.is_CANCEL():
            if KSR.tm.t_check_trans() > 0:
                KSR.tm.t_relay()
            return 1
        if KSR.siputils.has_totag() > 0:
            if KSR.rr.loose_route() > 0:
                KSR.tm.t_relay()
                return 1
            if KSR.is_ACK():
                if KSR.tm.t_check_trans() > 0:
                    KSR.tm.t_relay()
                return 1
            KSR.sl.sl_send_reply(404, "Not here")
            return 1
        if KSR.tm.t_check_trans() == 0:
            return 1
        if KSR.is_REGISTER():
            if KSR.auth.pv_auth_check("gw.example.net", "pw" + KSR.kx.get_fuser(), 0, 0) < 0:
                KSR.auth.auth_challenge("gw.example.net", 1)
                return 1
            if KSR.registrar.save("location", 0) < 0:
                KSR.sl.sl_reply_error()
            return 1
        KSR.rr.record_route()
        if not KSR.kx.get_ruser():
            KSR.sl.sl_send_reply(484, "Address Incomplete")
            return 1
        if KSR.registrar.lookup("location") < 0:
            KSR.sl.sl_send_reply(404, "Not Found")
            return 1
        if KSR.tm.t_relay() < 0:
            KSR.sl.sl_reply_error()
        return 1

    # 5.6 calls these hooks whether or not the policy needs them
    def ksr_reply_route(self, msg):
        return 1

    def ksr_onsend_route(self, msg):
        return 1
