# What `sam build` calls, once a function (BuildMethod: makefile). The first call compiles all functions
# in one build of the workspace, so that what they share is compiled once; the others find it done.
#
#   ARCH=x86_64 sam build    for the other kind of processor (with Architecture=x86_64 at `sam deploy`)
#   PROFILE=dev sam build    quickly, unoptimized, to try something

ARCH ?= arm64
PROFILE ?= release

BUILT = target/lambda
# By package: what only the tests and cargo portal want of a crate stays out of the functions.
PACKAGES = $(patsubst functions/%/Cargo.toml,-p vestibule-%,$(wildcard functions/*/Cargo.toml))

# For the release profile only: in the others a panic unwinds.
LINK = RUSTFLAGS="$(RUSTFLAGS) -C link-arg=-T$(CURDIR)/infra/no-unwind-tables.ld"

# Without it the first random number in a container's life takes some 50 ms of CPU.
export AWS_LC_SYS_NO_JITTER_ENTROPY = 1

# A wrong policy is told here, by file, line and field, and not by a function that can't answer for its portal.
.PHONY: policies
policies:
	cargo run --locked --quiet -p vestibule-domain --example check-policies -- infra/portals

.PHONY: compile
compile: policies
	$(if $(filter release,$(PROFILE)),$(LINK)) cargo lambda build --locked --profile $(PROFILE) $(if $(filter arm64,$(ARCH)),--arm64,--x86-64) --lambda-dir $(BUILT) $(PACKAGES) --bins

# What measure_cold_start (tests/examples) measures, for this machine's own processor.
.PHONY: bench-binaries
bench-binaries:
	$(LINK) cargo build --locked --release $(PACKAGES) -p vestibule-http -p vestibule-secrets --bins --example hello --example hello_aws --example argon2id

# SignInFunction is the binary sign-in. Beside it lie the policies.
build-%Function: compile
	mkdir -p "$(ARTIFACTS_DIR)/portals"
	cp $(BUILT)/$(shell echo $* | sed -E 's/([a-z])([A-Z])/\1-\2/g' | tr 'A-Z' 'a-z')/bootstrap "$(ARTIFACTS_DIR)/"
	cp infra/portals/*.toml "$(ARTIFACTS_DIR)/portals/"
