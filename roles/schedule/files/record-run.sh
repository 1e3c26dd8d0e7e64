#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Laid by schedule.yml of Kubeharden, which replaces it; -e kubeharden_schedule_state=absent removes it.
#
# record-run NAME DIRECTORY: write how a run of kubeharden-NAME.service ended into DIRECTORY, for node_exporter's textfile
# collector. systemd starts it after the run (ExecStopPost) and says in the environment what became of that.
set -eu
name=$1
file=$2/kubeharden-$name-run.prom
code=255 # ended by a signal, at the end of its time, or not begun
if [ "${EXIT_CODE:-}" = exited ] && [ "$SERVICE_RESULT" != timeout ]; then
  code=$EXIT_STATUS
fi
umask 022
# The directory may be somebody else's: a name that nobody knows before, and set -C, so that nothing which lies there is
# written through.
set -C
temporary=$(mktemp -u "$2/.kubeharden-$name-run.XXXXXXXX")
trap 'rm -f "$temporary"' EXIT
cat >"$temporary" <<METRICS
# HELP kubeharden_${name}_last_exit_code Exit code of the last scheduled run; 0 is well, 255 ended by a signal, late or not begun.
# TYPE kubeharden_${name}_last_exit_code gauge
kubeharden_${name}_last_exit_code $code
# HELP kubeharden_${name}_last_end_timestamp_seconds When the last scheduled run ended, in seconds since 1970.
# TYPE kubeharden_${name}_last_end_timestamp_seconds gauge
kubeharden_${name}_last_end_timestamp_seconds $(date +%s)
METRICS
mv -fT "$temporary" "$file"
