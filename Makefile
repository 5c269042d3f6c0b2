# plresearch: from raw exports to the paper. `make help` lists what one can ask for.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# ---- which study, which python -------------------------------------------------------------
STUDY ?= .
S := $(if $(filter . ./,$(STUDY)),,$(patsubst %/,%,$(STUDY))/)
export PLRESEARCH_STUDY := $(abspath $(STUDY))
export PYTHONPATH := $(CURDIR)
export PYTHONHASHSEED := 0
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export SOURCE_DATE_EPOCH := 1514764800
export LC_ALL := C.UTF-8
export TZ := UTC
export MPLBACKEND := Agg
unexport PYTHONDONTWRITEBYTECODE

# An active environment (venv or conda) that already holds the locked packages is used as it is;
# otherwise .venv is made from requirements.lock, and made again whenever the lock changes.
ifneq ($(or $(VIRTUAL_ENV),$(CONDA_PREFIX)),)
ACTIVE := $(shell python3 environment.py --holds-lock 2>/dev/null && echo yes)
endif
ifeq ($(lastword $(ACTIVE)),yes)
PY := python3
ENVIRONMENT :=
else
PY := $(CURDIR)/.venv/bin/python
ENVIRONMENT := .venv/.locked
endif

# ---- what there is to build ----------------------------------------------------------------
COHORTS := $(sort $(patsubst $(S)study/cohorts/%.toml,%,$(wildcard $(S)study/cohorts/*.toml)))
OUT := $(S)outputs
KEPT := $(S)data_processed
STEPS := 03_change 04_pairs 05_delivery 06_interviews
NOTEBOOKS := $(foreach c,$(COHORTS),$(foreach s,01_clean 02_score $(STEPS),$(OUT)/$(c)/$(s).ipynb))
PAPERS := $(foreach c,$(COHORTS),$(OUT)/$(c)/evaluation.html) $(OUT)/combined/paper.html $(OUT)/combined/checklists.html

# The package's layers are the dependencies: a change to a figure does not clean again.
P := plresearch
DATA := $(addprefix $(P)/,frames.py study.py read.py exports.py workbook.py spss.py answers.py matching.py qda.py records.py flags.py \
  rules.py intake.py clean.py pseudonyms.py withdrawal.py protocol.py)
SCORING := $(addprefix $(P)/,frames.py study.py score.py reliability.py effects.py change.py)
STATISTICS := $(addprefix $(P)/,change.py pairs.py items.py attrition.py delivery.py interviews.py exact.py effects.py agreement.py dyads.py)
COMBINING := $(addprefix $(P)/,combine.py models.py multiverse.py pooling.py mixed.py robust.py clmm.py missing.py)
RELEASE := $(addprefix $(P)/,disclose.py tables.py figures.py publish.py)
CONFIG := $(wildcard $(S)study/*.toml $(S)study/instruments/*.toml)
DOCUMENT := $(P)/render.py $(P)/tables.py $(wildcard paper/*) $(wildcard $(S)study/*.md $(S)study/*.csv)
RUN := $(PY) -m plresearch.run

.PHONY: all paper check test test-all bench lab help clean environment cohort preview forget dictionary $(COHORTS)

all: $(NOTEBOOKS) $(PAPERS) $(OUT)/dictionary.html $(OUT)/index.html $(OUT)/manifest.json ## build everything: every cohort's evaluation and the combined paper
	@echo "Done. Open $(OUT)/index.html"

paper: $(OUT)/combined/paper.html ## build the combined paper (HTML, Word, PDF) and what it needs

cohort: $(ENVIRONMENT) ## add a cohort or check one: make cohort ID=2027-north [FROM=folder-with-its-exports]
	@$(PY) -m plresearch.scaffold $(if $(ID),"$$ID" $(if $(FROM),"$$FROM"))

preview: $(ENVIRONMENT) ## show what the reader makes of one file: make preview FILE=export.csv [WAVE=pre]
	@$(PY) -m plresearch.preview $(if $(FILE),"$$FILE" $(if $(WAVE),--wave "$$WAVE"),--help)

dictionary: $(OUT)/dictionary.html ## write the data dictionary (HTML and CSV)

forget: all ## which numbers change without one person: make forget ID=cohort-2/SYN-D07 [APPLY=yes]
	@$(PY) -m plresearch.forget $(if $(ID),"$$ID" $(if $(filter yes,$(APPLY)),--apply),--help)

check: $(ENVIRONMENT) ## execute the stored notebooks again and compare with what is stored (nbval)
	@$(PY) -m plresearch.check

test: $(ENVIRONMENT) ## run the tests (under 4 minutes)
	@$(PY) -m pytest -q -n 2 --dist loadfile -m "not slow"

test-all: $(ENVIRONMENT) ## run every test, the slow proofs too (under 30 minutes)
	@$(PY) -m pytest -q -n 2 --dist loadfile

bench: $(ENVIRONMENT) ## compare speed side by side, as ratios within one run (docs/performance.md)
	@$(PY) bench/bench.py
	@$(PY) bench/bench_reading.py

lab: $(ENVIRONMENT) ## open JupyterLab on the notebooks
	@$(PY) -m jupyterlab --notebook-dir=$(CURDIR)/notebooks

environment: $(ENVIRONMENT) ## make the locked environment and nothing else
	@echo "Environment: $(PY)"

clean: ## delete what can be rebuilt: data_processed/ (outputs/ is the record and stays)
	@rm -rf $(KEPT) && echo "Deleted $(KEPT); outputs/ stays as the record"

help: ## list what one can ask for
	@echo "make TARGET [STUDY=folder]"
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  <cohort>     everything of one cohort; here: $(COHORTS)"

.venv/.locked: requirements.lock environment.py
	@python3 environment.py

# ---- rules ---------------------------------------------------------------------------------
# 01 and 02 make rows about people, which are never committed: after a fresh clone they are missing, so
# everything runs. The notebooks themselves follow in the rule below, which repairs a deleted one.
define cohort_rules
$(1): $(foreach s,01_clean 02_score $(STEPS),$(OUT)/$(1)/$(s).ipynb) $(OUT)/$(1)/evaluation.html

$(KEPT)/$(1)/responses.csv: notebooks/01_clean.ipynb $(DATA) $(CONFIG) $(wildcard $(S)study/cohorts/$(1).toml $(S)study/cohorts/$(1)_corrections.csv $(S)study/cohorts/$(1)_withdrawn.csv $(S)study/cohorts/$(1)_reconciled.csv $(S)study/cohorts/$(1)_quotes.csv $(S)data_raw/$(1)/*) | $(ENVIRONMENT)
	@$(RUN) 01_clean $(1)

$(KEPT)/$(1)/scores.csv: notebooks/02_score.ipynb $(SCORING) $(KEPT)/$(1)/responses.csv | $(ENVIRONMENT)
	@$(RUN) 02_score $(1)

$(OUT)/$(1)/01_clean.ipynb: $(KEPT)/$(1)/responses.csv
	@test -f $$@ -a ! $$@ -ot $$< || $(RUN) 01_clean $(1)

$(OUT)/$(1)/02_score.ipynb: $(KEPT)/$(1)/scores.csv
	@test -f $$@ -a ! $$@ -ot $$< || $(RUN) 02_score $(1)

$(foreach s,$(STEPS),$(OUT)/$(1)/$(s).ipynb): $(OUT)/$(1)/%.ipynb: notebooks/%.ipynb $(STATISTICS) $(RELEASE) $(KEPT)/$(1)/scores.csv $(wildcard $(S)study/joint_display.csv) | $(ENVIRONMENT)
	@$(RUN) $$* $(1)

$(OUT)/$(1)/evaluation.html: $(foreach s,01_clean 02_score $(STEPS),$(OUT)/$(1)/$(s).ipynb) $(DOCUMENT)
	@$(PY) -m plresearch.render evaluation $(1)
endef
$(foreach c,$(COHORTS),$(eval $(call cohort_rules,$(c))))

$(OUT)/combined/10_combined.ipynb: notebooks/10_combined.ipynb $(STATISTICS) $(COMBINING) $(RELEASE) $(NOTEBOOKS) | $(ENVIRONMENT)
	@$(RUN) 10_combined combined

$(OUT)/combined/11_mixed.ipynb: notebooks/11_mixed.ipynb $(STATISTICS) $(P)/robust.py $(RELEASE) $(NOTEBOOKS) | $(ENVIRONMENT)
	@$(RUN) 11_mixed combined

$(OUT)/combined/12_questions.ipynb: notebooks/12_questions.ipynb $(STATISTICS) $(RELEASE) $(NOTEBOOKS) | $(ENVIRONMENT)
	@$(RUN) 12_questions combined

$(OUT)/combined/20_planning.ipynb: notebooks/20_planning.ipynb $(P)/planning.py $(P)/synthetic.py $(STATISTICS) $(RELEASE) $(OUT)/combined/10_combined.ipynb
	@$(RUN) 20_planning combined

$(OUT)/combined/paper.html: $(OUT)/combined/10_combined.ipynb $(OUT)/combined/11_mixed.ipynb $(OUT)/combined/12_questions.ipynb $(OUT)/combined/20_planning.ipynb $(DOCUMENT)
	@$(PY) -m plresearch.render paper combined

$(OUT)/combined/checklists.html: $(OUT)/combined/paper.html $(P)/checklists.py $(wildcard paper/checklists/*.toml)
	@$(PY) -m plresearch.render checklists combined

$(OUT)/dictionary.html: $(P)/dictionary.py $(P)/frames.py $(P)/study.py paper/dictionary.html paper/style.css $(CONFIG) | $(ENVIRONMENT)
	@$(PY) -m plresearch.dictionary

$(OUT)/index.html: $(PAPERS) $(OUT)/dictionary.html paper/index.html paper/style.css $(P)/render.py
	@$(PY) -m plresearch.render index

$(OUT)/manifest.json: $(OUT)/index.html $(P)/manifest.py requirements.lock
	@$(PY) -m plresearch.manifest
