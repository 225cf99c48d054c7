#!/usr/bin/env python3
"""Loopback benchmark of one SIP server: CPU per REGISTER (digest), CPU per proxied call,
memory with all of them registered and N calls up, forwarding latency, highest clean rate.

usage: run.py NAME [--reg N] [--calls N] [--rate CPS] [--rates 500,1000,...] [--lat] [--up N] -- SERVER COMMAND...
Server must listen on udp 127.0.0.1:5060. CPU = user+sys of the server's processes only,
from /proc/PID/stat (10 ms ticks) and /proc/PID/task/*/schedstat (ns).
"""
import argparse, os, re, shutil, subprocess, sys, time, json, signal
HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
ap.add_argument('name'); ap.add_argument('--reg', type=int, default=10000); ap.add_argument('--regrate', type=int, default=500)
ap.add_argument('--calls', type=int, default=4000); ap.add_argument('--rate', type=int, default=200)
ap.add_argument('--rates', default=''); ap.add_argument('--lat', action='store_true'); ap.add_argument('--latrate', default='100')
ap.add_argument('--up', type=int, default=0); ap.add_argument('--wait', type=float, default=1.5); ap.add_argument('--idle', type=float, default=0)
ap.add_argument('--out', default=os.path.join(HERE, 'out'))
_i = sys.argv.index('--') if '--' in sys.argv else sys.exit(__doc__)
a = ap.parse_args(sys.argv[1:_i]); cmd = sys.argv[_i + 1:]
os.makedirs(a.out, exist_ok=True)
W = os.path.join(a.out, a.name)
signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))   # so that the finally clause ends the server
log = open(W + '.server.log', 'w')
srv = subprocess.Popen(cmd, stdout=log, stderr=log, start_new_session=True)
def tree(pid):
    out, todo = [], [pid]
    while todo:
        p = todo.pop(); out.append(p)
        try: todo += [int(x) for x in open(f'/proc/{p}/task/{p}/children').read().split()]
        except OSError: pass
    return out
def cpu():
    u = s = ns = 0
    for p in tree(srv.pid):
        try:
            f = open(f'/proc/{p}/stat').read().rsplit(')', 1)[1].split(); u += int(f[11]); s += int(f[12])
            for t in os.listdir(f'/proc/{p}/task'): ns += int(open(f'/proc/{p}/task/{t}/schedstat').read().split()[0])
        except OSError: pass
    return u * 10000, s * 10000, ns / 1000.0   # microseconds
def threads():
    """CPU of each kind of thread, in microseconds."""
    by = {}
    for p in tree(srv.pid):
        try:
            for t in os.listdir(f'/proc/{p}/task'):
                kind = open(f'/proc/{p}/task/{t}/comm').read().strip().rstrip('0123456789-')
                by[kind] = by.get(kind, 0) + int(open(f'/proc/{p}/task/{t}/schedstat').read().split()[0]) / 1000.0
        except OSError: pass
    return by
def spent(before, after, n):
    """What each kind of thread has spent on one of n, in microseconds."""
    each = {kind: round((us - before.get(kind, 0)) / n, 1) for kind, us in after.items()}
    return {kind: us for kind, us in sorted(each.items(), key=lambda each: -each[1]) if us >= 1}
def mem():
    pss = 0; hwm = 0
    for p in tree(srv.pid):
        try:
            pss += int(re.search(r'^Pss:\s+(\d+)', open(f'/proc/{p}/smaps_rollup').read(), re.M).group(1))
            hwm += int(re.search(r'VmHWM:\s+(\d+)', open(f'/proc/{p}/status').read()).group(1))
        except (OSError, AttributeError): pass
    return pss, hwm
def stats(path):
    t = open(path, errors='replace').read()
    def last(rx):
        m = re.findall(rx, t); return int(m[-1]) if m else -1
    d = dict(ok=last(r'Successful call\s+\|\s+\d+\s+\|\s+(\d+)'), failed=last(r'Failed call\s+\|\s+\d+\s+\|\s+(\d+)'))
    i = t.rfind('Messages  Retrans')
    d['retrans'] = sum(int(m) for m in re.findall(r'---------->\s+(?:[BE]-RTD\d+\s+)*\d+\s+(\d+)\s', t[i:])) if i >= 0 else -1
    m = re.findall(r'Response Time 1\s+\|[^|]*\|\s+([\d:]+)', t); d['rt1'] = m[-1] if m else ''
    return d
res = dict(name=a.name)
SIPP = os.environ.get('SIPP', 'sipp')
if shutil.which(SIPP) is None: sys.exit(f'{SIPP} is not there: apt-get install sip-tester, or put the folder that holds it into PATH')
if a.lat: subprocess.check_call(['rustc', '--edition', '2024', '-O', '-o', os.path.join(a.out, 'siplat'), HERE + '/lat/siplat.rs'])
def sipp(args, tag, timeout):
    f = open(f'{W}.{tag}.out', 'w')
    return subprocess.Popen(['timeout', str(timeout), SIPP, '127.0.0.1:5060', '-i', '127.0.0.1', '-nostdin', '-trace_err', '-error_file', f'{W}.{tag}.err'] + args, stdout=f, stderr=subprocess.STDOUT), f'{W}.{tag}.out'
uas = None
try:
    time.sleep(a.wait)
    if srv.poll() is not None: sys.exit('server died at start, see ' + W + '.server.log')
    res['mem_start_kB'] = mem()
    if a.idle:
        c0 = cpu(); time.sleep(a.idle); c1 = cpu(); res['idle_us_per_s'] = round((c1[2] - c0[2]) / a.idle)
    users = os.path.join(a.out, f'users{a.reg}.csv')
    with open(users, 'w') as f:
        f.write('SEQUENTIAL\n' + ''.join(f'7{i:05};7000;[authentication username=7{i:05} password=pw7{i:05}]\n' for i in range(a.reg)))
    # From the port at which the calls will come in: a gateway that sends calls down the flow of the registration finds it there.
    c0 = cpu(); d0 = threads(); t0 = time.time()
    p, o = sipp(['-sf', HERE + '/sipp/reg.xml', '-inf', users, '-p', '7000', '-m', str(a.reg), '-r', str(a.regrate)], 'reg', 150); p.wait()
    c1 = cpu(); us_threads = spent(d0, threads(), a.reg); st = stats(o)
    # The threads that make registrations durable.
    us_disk = sum(us for kind, us in us_threads.items() if kind in ('store', 'sqlx-sqlite-worker', 'sqlx-sqlite-wor'))
    res['reg'] = dict(st, us_disk=round(us_disk, 1), us_threads=us_threads, n=a.reg, secs=round(time.time() - t0, 2), us_user=round((c1[0] - c0[0]) / a.reg, 1), us_sys=round((c1[1] - c0[1]) / a.reg, 1), us_total_sched=round((c1[2] - c0[2]) / a.reg, 1))
    time.sleep(1); res['mem_after_reg_kB'] = mem()
    print(json.dumps(res['reg']), flush=True)
    if a.lat:
        for r in a.latrate.split(','):
            n = 20 if int(r) <= 200 else 10
            res[f'lat_{r}'] = subprocess.check_output([os.path.join(a.out, 'siplat'), '127.0.0.1:5060', r, str(n), str(a.reg), '7000', '7200'], text=True).strip().split('\n')
            print('\n'.join(res[f'lat_{r}']), flush=True)
            time.sleep(0.5)
    uas, _ = sipp(['-sf', HERE + '/sipp/uas.xml', '-p', '7000', '-buff_size', '4194304', '-l', '200000'], 'uas', 400); time.sleep(1)
    def calls(n, rate, tag):
        c0 = cpu(); d0 = threads(); t0 = time.time()
        p, o = sipp(['-sf', HERE + '/sipp/uac.xml', '-inf', users, '-p', '7300', '-m', str(n), '-r', str(rate), '-d', '20', '-l', '100000', '-buff_size', '4194304'], tag, 60 + n // rate); p.wait()
        c1 = cpu(); st = stats(o)
        d = dict(st, n=n, us_threads=spent(d0, threads(), n), rate=rate, secs=round(time.time() - t0, 2), us_user=round((c1[0] - c0[0]) / n, 1), us_sys=round((c1[1] - c0[1]) / n, 1), us_total_sched=round((c1[2] - c0[2]) / n, 1), mem_kB=mem())
        print(tag, json.dumps(d), flush=True)
        return d
    if a.calls:
        calls(200, 100, 'warm'); res['calls'] = calls(a.calls, a.rate, 'calls')
    res['ramp'] = []
    for r in [int(x) for x in a.rates.split(',') if x]:
        d = calls(r * 6, r, f'ramp{r}'); res['ramp'].append(d)
        if d['failed'] > d['n'] * 0.001 or d['retrans'] > d['n'] * 0.02 or d['ok'] < 0: break
    time.sleep(1); res['mem_end_kB'] = mem()
    if a.up:
        p, o = sipp(['-sf', HERE + '/sipp/uac.xml', '-inf', users, '-p', '7300', '-m', str(a.up), '-r', '500', '-d', '600000', '-l', str(a.up), '-buff_size', '4194304'], 'up', 600)
        time.sleep(a.up / 500 + 3); res['mem_up_kB'] = mem(); p.terminate()
        print('up', json.dumps(res['mem_up_kB']), flush=True)
    res['alive'] = srv.poll() is None
finally:
    for p in (uas, srv):
        if p and p.poll() is None:
            try: os.killpg(p.pid, signal.SIGTERM) if p is srv else p.terminate()
            except OSError: pass
    try: srv.wait(8)
    except subprocess.TimeoutExpired:
        try: os.killpg(srv.pid, signal.SIGKILL)
        except OSError: pass
    json.dump(res, open(W + '.json', 'w'), indent=1)
    print(json.dumps(res, indent=1))
