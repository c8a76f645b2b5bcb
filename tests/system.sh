#!/bin/sh
# Installs the system programs named as arguments where root and apt are there; otherwise says in one line what is
# missing. Succeeds when everything is there.
set -u

package() {
    case "$1" in
        gpg) echo "gnupg" ;;
        chromium) echo "chromium fonts-dejavu-core" ;;
        swaks) echo "swaks libnet-ssleay-perl" ;;
        *) echo "$1" ;;
    esac
}

present() {
    case "$1" in
        gpg) command -v gpg >/dev/null && command -v gpg-agent >/dev/null ;;
        postfix) [ -x /usr/sbin/postfix ] && [ -x /usr/sbin/smtp-source ] ;;
        fuse3) command -v fusermount3 >/dev/null ;;
        swaks) command -v swaks >/dev/null && perl -MNet::SSLeay -e 1 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing=""
for program in "$@"; do
    present "$program" || missing="$missing $(package "$program")"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing …"
    # shellcheck disable=SC2086  # a list of packages
    # RUNLEVEL: a mail server that is installed is not started; tests start one of their own
    { apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
        >/dev/null 2>&1 && exit 0
fi
echo "please install:$missing   (on Debian: apt-get install$missing)"
exit 1
