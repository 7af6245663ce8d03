"""Deprecated name of `process_usage`, kept for one release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lanspread_harness.deprecation import forward

if TYPE_CHECKING:
    pass
else:
    __getattr__ = forward(
        __name__,
        {
            "Usage": "lanspread_harness.process_usage.ProcessUsage",
            "usage_of": "lanspread_harness.process_usage.read_usage",
            "peak_rss_mib": "lanspread_harness.process_usage.read_peak_rss_mib",
            "pid_of": "lanspread_harness.process_usage.find_pid",
            "idle_cpu_shares": "lanspread_harness.process_usage.measure_idle_cpu",
        },
    )
