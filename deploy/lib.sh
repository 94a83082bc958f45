# deploy/lib.sh - what deploy/up, deploy/down, deploy/status, deploy/token and tests/run share.
# Sourced by POSIX sh scripts that have set -eu and DF_ROOT, the folder of the checkout.
# shellcheck shell=sh disable=SC2034 # what it sets is used by the scripts that source it

DF_USER=dealflow                     # what root drops to
# In the order they start, and backwards when they stop; some may be absent. The scraper delivers
# through nginx, so it ends first and can still bring out what it holds; then the gateway sends its
# subscribers away, for whom nginx would wait.
DF_SERVICES='postgres monitor nginx rest realtime scraper'
DF_UUID='^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

# --- talking to the person ---------------------------------------------------------------------

DF_STARTED=$(date +%s)

df_say() {
    printf '%s\n' "$*"
}

# One line for each step, with the seconds since the start, so that a slow one is seen to move on.
df_step() {
    printf '[%4d s] %s\n' "$(($(date +%s) - DF_STARTED))" "$*"
}

df_warn() {
    printf 'warning: %s\n' "$*" >&2
}

# df_fail WHAT [WHAT TO DO NEXT]
df_fail() {
    printf '\n%s: %s\n' "${0##*/}" "$1" >&2
    if [ $# -gt 1 ]; then printf 'Next: %s\n' "$2" >&2; fi
    exit 1
}

# df_fail_with_log FILE WHAT [NEXT]: the reason is usually in the last lines.
df_fail_with_log() {
    if [ -s "$1" ]; then
        printf '\n--- last lines of %s\n' "$1" >&2
        tail -n 15 "$1" | cut -c1-300 >&2
        printf -- '---\n' >&2
    fi
    shift
    df_fail "$@"
}

# --- users and folders -------------------------------------------------------------------------

df_is_root() {
    [ "$(id -u)" -eq 0 ]
}

# A folder to work in that DF_USER can reach too; the caller's own may be one like /root.
df_reachable() {
    if [ -d "$DF_VAR" ]; then echo "$DF_VAR"; else echo /; fi
}

# Runs a command as the user everything runs as: the caller, or DF_USER when root calls. Commands
# that wait for a service (s6-svc -w, s6-svwait) must run so too: the supervisor cannot write to the
# fifo that root would make for its answer.
df_as_user() {
    if df_is_root; then
        setpriv --reuid "$DF_USER" --regid "$DF_USER" --clear-groups \
            env -C "$(df_reachable)" HOME="$DF_VAR" USER="$DF_USER" "$@"
    else
        "$@"
    fi
}

df_make_user() {
    if df_is_root && ! id -u "$DF_USER" >/dev/null 2>&1; then
        useradd --system --user-group --no-create-home --home-dir /nonexistent \
            --shell /usr/sbin/nologin "$DF_USER" ||
            df_fail "cannot create the user $DF_USER" "create it yourself, then run this again"
    fi
}

# What a user once started keeps running as that user, also when root asks later.
df_find_owner() {
    [ -e "$DF_VAR/env" ] || return 0
    df_owner=$(stat -c %U "$DF_VAR/env")
    if df_is_root; then
        if [ "$df_owner" != root ]; then DF_USER=$df_owner; fi
    elif [ "$df_owner" != "$(id -un)" ]; then
        df_fail "$DF_VAR belongs to the user $df_owner" \
            "run this as $df_owner or as root, or set DEALFLOW_VAR to a folder of your own"
    fi
}

# Sets DF_VAR: DEALFLOW_VAR, else var/ in the checkout. A checkout that DF_USER cannot reach, such
# as one in /root, keeps its data in /var/lib/dealflow, and var becomes a link to that.
df_find_var() {
    DF_VAR=${DEALFLOW_VAR:-$DF_ROOT/var}
    if [ -z "${DEALFLOW_VAR:-}" ] && [ ! -e "$DF_VAR" ] && df_is_root &&
        id -u "$DF_USER" >/dev/null 2>&1 &&
        ! setpriv --reuid "$DF_USER" --regid "$DF_USER" --clear-groups test -r "$DF_ROOT/deploy"; then
        DF_VAR=/var/lib/dealflow
    fi
    case $DF_VAR in
        /*) ;;
        *) DF_VAR=$(pwd)/$DF_VAR ;;
    esac
    case $DF_VAR in
        *[!A-Za-z0-9./_+=@,-]*)
            df_fail "the path $DF_VAR holds characters that configuration files would misread" \
                "set DEALFLOW_VAR to a folder with a plainer name" ;;
    esac
    if [ -d "$DF_VAR" ]; then DF_VAR=$(cd "$DF_VAR" && pwd -P); fi
    df_find_owner
    # 107 bytes is all a unix socket address holds.
    if [ ${#DF_VAR} -gt 80 ]; then
        df_fail "the path $DF_VAR is too long for unix sockets below it" \
            "set DEALFLOW_VAR to a shorter one, e.g. DEALFLOW_VAR=/tmp/dealflow $0"
    fi
    DF_ENV=$DF_VAR/env
    DF_SERVICE_DIR=$DF_VAR/service
    DF_LOG=$DF_VAR/log
    DF_RUN=$DF_VAR/run
}

# --- settings: KEY=value lines in var/env ------------------------------------------------------

# Prints the value, or nothing.
df_env_get() {
    [ -r "$DF_ENV" ] || return 0
    # One process, for this is called often: the last such line, without its quotes.
    sed -n "/^$1=/{ s///; s/^'\(.*\)'\$/\1/; h; }; \${ x; p; }" "$DF_ENV"
}

# Quotes only what needs it: sh, systemd and the program all read the file. The file is replaced as a
# whole, so a crash never leaves half of one.
df_env_set() {
    case $2 in
        *"'"* | *'
'*) df_fail "$1 holds a quote or a line break, which $DF_ENV cannot keep" \
            "use a value without them" ;;
        *[!A-Za-z0-9_./:@%+,=?-]*) df_env_line="$1='$2'" ;;
        *) df_env_line="$1=$2" ;;
    esac
    (
        umask 077
        {
            if [ -f "$DF_ENV" ]; then grep -v "^$1=" "$DF_ENV" || true; fi
            printf '%s\n' "$df_env_line"
        } >"$DF_ENV.new"
    )
    if df_is_root; then chown "$DF_USER:" "$DF_ENV.new"; fi
    mv "$DF_ENV.new" "$DF_ENV"
}

# df_env_default KEY VALUE: keeps what is there.
df_env_default() {
    if ! grep -q "^$1=" "$DF_ENV" 2>/dev/null; then df_env_set "$1" "$2"; fi
}

df_env_load() {
    set -a
    # shellcheck disable=SC1090
    . "$DF_ENV"
    set +a
}

df_random_hex() { # bytes
    openssl rand -hex "$1"
}

df_uuid() {
    cat /proc/sys/kernel/random/uuid
}

# --- ports -------------------------------------------------------------------------------------

# True when nothing listens on the TCP port. Reads /proc: ss is not on every machine.
df_port_is_free() {
    ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf '%04X' "$1")" '$4 == "0A" && $2 ~ ":" port "$" { found = 1 }
                                             END { exit !found }'
}

# Prints the first free port from $1 on.
df_free_port() {
    df_port=$1
    while ! df_port_is_free "$df_port"; do
        df_port=$((df_port + 1))
        [ "$df_port" -le 65535 ] || df_fail "no free port from $1 on"
    done
    echo "$df_port"
}

# --- waiting -----------------------------------------------------------------------------------

# df_wait SECONDS COMMAND...: until the command succeeds; false when it never does.
df_wait() {
    df_wait_end=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$df_wait_end" ] || return 1
        sleep 0.1
    done
}

# --- packages ----------------------------------------------------------------------------------

df_packages() { # group...: names from deploy/packages
    awk -v groups=" $* " '!/^#/ && NF == 2 && index(groups, " " $2 " ") { print $1 }' \
        "$DF_ROOT/deploy/packages"
}

# What the scraper would find: the operator's own browser, Debian's shell or full browser, Chrome.
df_have_browser() {
    for df_browser in "${CHROME_EXECUTABLE_PATH:-}" /usr/lib/chromium/chromium-headless-shell \
        /usr/lib/chromium/chromium /opt/google/chrome/chrome; do
        if [ -f "$df_browser" ] && [ -x "$df_browser" ]; then return 0; fi
    done
    return 1
}

# Prints those of the given packages that are missing. A node from elsewhere is as good as Debian's,
# and so is any browser that the scraper can use.
df_missing_packages() {
    # shellcheck disable=SC2016
    df_installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        awk '$2 == "installed" { print $1 }') || true
    for df_package in "$@"; do
        case $df_package in
            nodejs) if command -v node >/dev/null; then continue; fi ;;
            npm) if command -v npm >/dev/null; then continue; fi ;;
            chromium-headless-shell) if df_have_browser; then continue; fi ;;
        esac
        printf '%s\n' "$df_installed" | grep -qxF "$df_package" || echo "$df_package"
    done
}

# apt-get with its percentage on one line of a terminal; all else goes to the log file $1.
df_apt() {
    df_apt_log=$1
    shift
    df_sudo=
    if ! df_is_root; then df_sudo=sudo; fi
    rm -f "$df_apt_log.failed"
    df_tty=0
    if [ -t 1 ]; then df_tty=1; fi
    {
        $df_sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Status-Fd=3 \
            -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@" \
            3>&1 >>"$df_apt_log" 2>&1 </dev/null || : >"$df_apt_log.failed"
    } | awk -F: -v tty="$df_tty" '
        ($1 == "dlstatus" || $1 == "pmstatus") && $3 + 0 >= shown + 1 {
            shown = $3 + 0
            what = $1 == "dlstatus" ? "downloading" : "installing"
            if (tty) { printf "\r         %s %3d %%   ", what, shown; fflush() }
            else if (shown >= next_line) { printf "         %s %d %%\n", what, shown
                                           fflush(); next_line = shown + 25 }
        }
        $1 == "dlstatus" { was_download = 1 }
        $1 == "pmstatus" && was_download { was_download = 0; shown = 0; next_line = 0 }
        END { if (tty && shown) printf "\r                              \r" }'
    if [ -e "$df_apt_log.failed" ]; then
        rm -f "$df_apt_log.failed"
        return 1
    fi
}

# Debian would start its own Postgres on 5432 and nginx on 80 while installing them, and again at
# each boot. Both are ours to start, so: no service starts during the install, no "main" cluster is
# made, and an nginx that was not there before is not enabled.
df_install_quietly() {
    df_install_log=$1
    shift
    if df_is_root; then df_sudo=; else df_sudo=sudo; fi
    df_had_nginx=true
    if ! dpkg-query -W nginx-common >/dev/null 2>&1; then df_had_nginx=false; fi
    df_policy=/usr/sbin/policy-rc.d
    df_own_policy=false
    if [ ! -e "$df_policy" ]; then
        df_own_policy=true
        trap '$df_sudo rm -f "$df_policy"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | $df_sudo tee "$df_policy" >/dev/null
        $df_sudo chmod 755 "$df_policy"
    fi
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        $df_sudo mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' |
            $df_sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    df_install_rc=0
    df_apt "$df_install_log" install --no-install-recommends "$@" || df_install_rc=1
    if $df_own_policy; then
        $df_sudo rm -f "$df_policy"
        trap - EXIT INT TERM
    fi
    if ! $df_had_nginx; then
        if command -v systemctl >/dev/null; then
            $df_sudo systemctl disable nginx >>"$df_install_log" 2>&1 || true
        else
            $df_sudo update-rc.d nginx disable >>"$df_install_log" 2>&1 || true
        fi
    fi
    return $df_install_rc
}

# df_install GROUP...: installs what is missing; without a gap it costs one dpkg-query.
df_install() {
    # shellcheck disable=SC2046
    df_missing=$(df_missing_packages $(df_packages "$@"))
    [ -n "$df_missing" ] || return 0
    # shellcheck disable=SC2086
    set -- $df_missing
    command -v apt-get >/dev/null || df_fail "missing: $*" "install these (Debian's names), then again"
    if ! df_is_root && ! command -v sudo >/dev/null; then
        df_fail "missing packages, and neither root nor sudo to install them" \
            "as root: apt-get update && apt-get install --no-install-recommends $*"
    fi
    df_log_file=$(mktemp "${TMPDIR:-/tmp}/dealflow-apt.XXXXXX")
    df_step "installing $# Debian packages (a few minutes on a fresh machine)"
    df_apt "$df_log_file" update ||
        df_warn "the package lists could not be refreshed (see $df_log_file); trying with the old ones"
    # Ubuntu has Chromium as a snap only. Everything but the watching of streams works without.
    if ! apt-cache show chromium-headless-shell >/dev/null 2>&1; then
        df_warn "no package chromium-headless-shell here; the scraper needs CHROME_EXECUTABLE_PATH"
        # shellcheck disable=SC2046
        set -- $(printf '%s\n' "$@" | grep -vxF chromium-headless-shell)
        [ $# -gt 0 ] || return 0
    fi
    df_install_quietly "$df_log_file" "$@" ||
        df_fail_with_log "$df_log_file" "the packages could not be installed" \
            "see $df_log_file; is the network there, and no other apt running? Then run this again"
    rm -f "$df_log_file"
}

# --- tokens ------------------------------------------------------------------------------------

df_base64url() {
    openssl base64 -A | tr '+/' '-_' | tr -d '='
}

# HMAC-SHA-256 (RFC 2104) of stdin-free text $2 under key $1, binary to stdout. By hand, because
# openssl takes the key only as an argument, which every user of the machine can read in ps.
df_hmac_sha256() {
    df_key_hex=$(printf %s "$1" | od -An -v -tx1 | tr -d ' \n')
    if [ ${#df_key_hex} -gt 128 ]; then
        df_key_hex=$(printf %s "$1" | openssl dgst -sha256 -binary | od -An -v -tx1 | tr -d ' \n')
    fi
    df_inner='' df_outer='' df_left=64
    while [ "$df_left" -gt 0 ]; do
        df_byte=0
        if [ -n "$df_key_hex" ]; then
            df_rest=${df_key_hex#??}
            df_byte=$((0x${df_key_hex%"$df_rest"}))
            df_key_hex=$df_rest
        fi
        df_inner=$df_inner$(printf '\\%03o' $((df_byte ^ 0x36)))
        df_outer=$df_outer$(printf '\\%03o' $((df_byte ^ 0x5c)))
        df_left=$((df_left - 1))
    done
    {
        # shellcheck disable=SC2059
        printf "$df_outer"
        {
            # shellcheck disable=SC2059
            printf "$df_inner"
            printf %s "$2"
        } | openssl dgst -sha256 -binary
    } | openssl dgst -sha256 -binary
}

# df_mint SECRET ROLE TTL_SECONDS [USER_UUID]: an HS256 token as Supabase issues them.
df_mint() {
    df_now=$(date +%s)
    df_claims="{\"iss\":\"dealflow\",\"role\":\"$2\",\"iat\":$df_now,\"exp\":$((df_now + $3))"
    if [ $# -gt 3 ]; then df_claims="$df_claims,\"sub\":\"$4\",\"aud\":\"authenticated\""; fi
    df_signed=$(printf '{"alg":"HS256","typ":"JWT"}' | df_base64url).$(printf '%s}' "$df_claims" |
        df_base64url)
    printf '%s.%s\n' "$df_signed" "$(df_hmac_sha256 "$1" "$df_signed" | df_base64url)"
}

# --- services ----------------------------------------------------------------------------------

df_have_s6() {
    command -v s6-svstat >/dev/null
}

df_supervised() { # service
    [ -d "$DF_SERVICE_DIR/$1" ] && s6-svok "$DF_SERVICE_DIR/$1" 2>/dev/null
}

df_services_backwards() {
    df_backwards=
    for df_service in $DF_SERVICES; do df_backwards="$df_service $df_backwards"; done
    echo "$df_backwards"
}

df_http_url() {
    df_host=$(df_env_get HTTP_BIND)
    case $df_host in
        '' | 0.0.0.0 | ::) df_host=127.0.0.1 ;;
        *:*) df_host="[$df_host]" ;;
    esac
    echo "http://$df_host:$(df_env_get HTTP_PORT)"
}

# The scraper's own door, past nginx.
df_scraper_url() {
    df_host=$(df_env_get SCRAPER_BIND)
    case $df_host in
        '' | 0.0.0.0 | ::) df_host=127.0.0.1 ;;
        *:*) df_host="[$df_host]" ;;
    esac
    echo "http://$df_host:$(df_env_get SCRAPER_PORT)"
}

# Prints the number of streams it watches, or fails.
df_scraper_health() {
    curl -fsS -m 3 "$(df_scraper_url)/health" | sed -n 's/.*"activeSessions" *: *\([0-9]*\).*/\1/p' |
        grep .
}

df_rest_is_ready() {
    curl -fsS -m 3 -o /dev/null --unix-socket "$DF_RUN/rest-metrics.sock" http://localhost/readyz
}

# Prints how many WebSockets the realtime gateway has, or fails.
df_realtime_connections() {
    curl -fsS -m 3 --unix-socket "$DF_RUN/realtime-metrics.sock" http://localhost/metrics |
        sed -n 's/^dealflow_realtime_connections //p' | grep .
}

# Through the door: what the function and what subscribers need.
df_is_ready() {
    curl -fsS -m 3 -o /dev/null "$(df_http_url)/readyz" &&
        curl -fsS -m 3 -o /dev/null "$(df_http_url)/realtime/v1/readyz"
}
