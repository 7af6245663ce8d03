# Every recipe is one command, the same that CI and the README use.

# List the recipes.
default:
    @just --list

# Everything: format, lints, tests, scenarios.
test:
    python3 scripts/test.py

# Run scenarios: `just scenarios S22 S25 --keep`.
scenarios *arguments:
    python3 scripts/run_extended_scenarios.py {{ arguments }}

# Run scenarios in containers.
scenarios-docker *arguments:
    python3 scripts/run_extended_scenarios.py --backend docker --build-image {{ arguments }}

# Break the product on purpose and see that scenarios notice; takes an hour on two cores.
mutate *names:
    python3 scripts/mutate.py {{ names }}

# Measure transfers against others' (root): `just bench --suite single --rounds 5`.
bench *arguments:
    python3 scripts/bench.py {{ arguments }}

# Measure codec, hashes, scheduler and scans by themselves: `just microbench scheduler`.
microbench *arguments:
    cargo bench --locked -p lanspread-proto -p lanspread-transfer -p lanspread-library --bench wire --bench scheduler --bench library -- {{ arguments }}

# Rewrite scenarios/README.md.
scenario-index:
    python3 scripts/scenario_index.py

# Build the static release binary and print its path.
peer-cli-build:
    python3 scripts/peer_cli.py build

# Build the container image around it.
peer-cli-image:
    python3 scripts/peer_cli.py image

# Talk to a peer called alpha, which holds a demo game; files are in out/peers/alpha.
peer-cli-alpha *arguments:
    python3 scripts/peer_cli.py run alpha {{ arguments }}

# Talk to a peer called bravo, in another terminal; it finds alpha by itself.
peer-cli-bravo *arguments:
    python3 scripts/peer_cli.py run bravo {{ arguments }}

# Format all code.
fmt:
    python3 scripts/test.py --fix rustfmt ruff-format ruff

# Lint all Rust code as CI does.
clippy:
    python3 scripts/test.py clippy

# Lint and type-check all Python code as CI does.
python:
    python3 scripts/test.py ruff-format ruff mypy pytest

# Licences, bans, sources and advisories of all dependencies (needs cargo-deny).
deny:
    cargo deny check

# Crash a peer at that many points; a sample of them is among the tests.
crash points="1000":
    LANSPREAD_CRASH_POINTS={{ points }} cargo nextest run -p lanspread-peer --no-capture no_crash

# Fuzz all that reads bytes of others, that many minutes a target: `just fuzz 10 codec rar`.
fuzz minutes="10" *targets:
    python3 scripts/fuzz.py --minutes {{ minutes }} {{ targets }}
