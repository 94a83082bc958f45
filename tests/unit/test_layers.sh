#!/bin/sh
# test_layers.sh SOURCE_DIR - who may include whom. Base includes base, domain includes base and
# domain, edge includes all of shared/, a program includes shared/ and itself. Exit 1 names each
# forbidden line. A file of shared/ that is in no list below is an error too: it must take a side.
set -u
cd "$1" || exit 2

base='error clock log buf uuid arena config'
domain='json message netaddr phrases jwt token_cache ratelimit dedup intent'
edge='pg http queue outbox signals loop'
programs='fcgi scraper realtime'
status=0

complain() {
    echo "$1" >&2
    status=1
}

# layer_of FILE: the layer a path such as shared/buf.h or shared/intent/model.c belongs to
layer_of() {
    module=${1#shared/}
    module=${module%%/*}
    module=${module%.[ch]}
    case " $base " in *" $module "*) echo 1; return ;; esac
    case " $domain " in *" $module "*) echo 2; return ;; esac
    case " $edge " in *" $module "*) echo 3; return ;; esac
    echo 0
}

# includes_of FILE: one "line:path" for each include of our own
includes_of() {
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$1"
}

checked=0
for file in $(find shared -name '*.[ch]' | sort); do
    mine=$(layer_of "$file")
    [ "$mine" -ne 0 ] || complain "$file: in no layer; add it to $0"
    for path in $(includes_of "$file"); do
        checked=$((checked + 1))
        case $path in
        shared/*)
            theirs=$(layer_of "$path")
            [ "$theirs" -le "$mine" ] || complain "$file: must not include $path (higher layer)"
            ;;
        *) complain "$file: must not include $path (shared/ looks only at shared/)" ;;
        esac
    done
done

for program in $programs; do
    [ -d "$program" ] || continue
    for file in $(find "$program" -name '*.[ch]' | sort); do
        for path in $(includes_of "$file"); do
            checked=$((checked + 1))
            case $path in
            shared/* | "$program"/*) ;;
            *) complain "$file: must not include $path (write it from the root; no other program)" ;;
            esac
        done
    done
done

# Third-party headers stay in .c files: who includes a header of shared/ gets only shared/.
for file in $(find shared -name '*.h' | sort); do
    if grep -qE '#[[:space:]]*include[[:space:]]*<(jansson|libpq|curl/|fcgi|openssl/|jose/|libweb)' \
        "$file"; then
        complain "$file: must not include a third-party header"
    fi
done

# A check that sees nothing would pass for ever.
[ "$checked" -ge 20 ] || complain "only $checked includes seen: is $1 the source tree?"
[ "$status" -eq 0 ] && echo "$checked includes follow the layers"
exit "$status"
