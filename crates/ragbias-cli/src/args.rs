//! The command line, parsed and not yet acted on.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use ragbias::embed::{Precision, Processor};
use ragbias::generate::{ChoiceMethod, GenerateConfig, Options, ServerConfig, Thinking};
use ragbias::monitor::Reference;
use ragbias::stats::Discount;
use ragbias::{CalibratedTexts, Day};

/// Measure and control the bias of retrieval-augmented generation.
///
/// A RAG system is a corpus, an embedder and an LLM, each with its own bias. `ragbias` measures each of them, with intervals.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Examples:
  ragbias run experiments/quickstart.toml
  ragbias measure --axis gender --questions gender --corpus gender --embedder minilm --llm smollm2-135m
  ragbias score --axis gender --scorer lexicon --input passages.jsonl --json

Exit status: 0 done, 1 failed, 2 wrong usage, 3 an audit failed the system, 4 undecided."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print one JSON object on stdout, and nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// No progress, no notes
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Folder of models [default: the user's cache directory]
    #[arg(long, global = true, env = "RAGBIAS_MODEL_DIR", value_name = "DIR")]
    pub(crate) model_dir: Option<PathBuf>,

    /// File that stores vectors, verdicts and answers for later runs [default: in the user's cache directory]
    #[arg(long, global = true, env = "RAGBIAS_STORE", value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,

    /// Device of embedders and .gguf files: cpu, or with --features cuda also cuda or cuda:N
    #[arg(long, global = true, env = "RAGBIAS_DEVICE", default_value = "cpu", value_name = "DEVICE")]
    pub(crate) device: Processor,

    /// Precision of products: f32; bf16 on a GPU; int8 on the CPU, to embed with a checkpoint
    #[arg(long, global = true, env = "RAGBIAS_PRECISION", default_value = "f32", value_name = "PRECISION")]
    pub(crate) precision: Precision,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Base models: list, download, verify
    #[command(subcommand)]
    Models(Models),
    /// Corpora and question sets
    #[command(subcommand)]
    Data(Data),
    /// Embed texts: one f32 row per record, of unit length, in input order
    #[command(
        after_help = "Example:\n  ragbias embed --embedder minilm --input corpus.jsonl --out vectors.npy"
    )]
    Embed(Embed),
    /// Retrieval metrics of an embedder: nDCG@10, recall, MRR@10, MAP, as in trec_eval
    #[command(after_help = "Examples:
  ragbias evaluate --embedder minilm --corpus gender
  ragbias evaluate --embedder minilm --corpus beir/scifact --json
  ragbias evaluate --embedder minilm --corpus corpus.jsonl --queries queries.jsonl --qrels test.tsv
  ragbias evaluate --embedder ./my-checkpoint --against minilm --corpus beir/scifact

Questions without judgements are left out; a relevant document that the corpus lacks counts as not retrieved.")]
    Evaluate(Evaluate),
    /// Lean of every record, and the scorer's agreement with `metadata.lean`
    #[command(
        after_help = "Example:\n  ragbias score --axis gender --scorer lexicon --input passages.jsonl --json"
    )]
    Score(Score),
    /// How often a scorer errs on labelled texts: accuracy, Cohen's κ, confusion by pole
    #[command(after_help = "Examples:
  ragbias calibrate --axis gender --scorer lexicon --labels passages.jsonl
  ragbias calibrate --axis gender --scorer judge:qwen2.5-0.5b --labels passages.jsonl --out judge.json
  ragbias measure … --scorer judge:qwen2.5-0.5b --calibration judge.json

Labels are `metadata.lean` (1, 0 or -1), or `metadata.p` and `metadata.n` (1 or 0); intervals are over `metadata.topic`.")]
    Calibrate(Calibrate),
    /// Counterfactual pairs from any corpus: each passage about one person as a man's and a woman's
    #[command(after_help = "Examples:
  ragbias twins --axis gender --corpus passages.jsonl --out twins
  ragbias twins --axis gender --corpus train.csv --with-questions --draws 5 --out twins
  ragbias measure --axis gender --corpus twins --questions questions.jsonl --embedder minilm --retrieve-only

The twins of a passage differ in the person's first names, pronouns and titles alone. What cannot be exchanged cleanly is left out,
counted by reason, and listed in left-out.jsonl. The rules are in docs/twins.md.")]
    Twins(Twins),
    /// The four biases of a RAG system: L_b, C_b, E_b, R_b
    #[command(after_help = "Examples:
  ragbias measure --axis gender --questions gender --corpus gender --embedder minilm --llm smollm2-135m
  ragbias measure --axis gender --questions train.csv --corpus train.csv --embedder minilm --retrieve-only --json
  ragbias measure --axis gender --questions twins/questions.jsonl --corpus twins/corpus.jsonl \\
      --qrels twins/qrels.tsv --embedder minilm --llm smollm2-135m --answers pair
  ragbias measure --axis gender --questions gender --corpus gender --embedder minilm --retrieve-only \\
      --erase gender-twins=1
  ragbias measure --axis politics --questions politics --corpus politics --embedder ./my-checkpoint \\
      --llm http://localhost:8080/v1#llama3 --top-k 3 --out runs/mine")]
    Measure(Measure),
    /// Mine the documents that a family's members would be trained on
    #[command(
        after_help = "Example:\n  ragbias mine --recipe embedders/families/gender-quick.toml --out mined.parquet"
    )]
    Mine(Mine),
    /// Tune a family of embedders with different biases, resumable
    #[command(after_help = "Examples:
  ragbias tune --recipe embedders/families/gender-quick.toml --out families/gender
  ragbias tune --recipe embedders/families/gender-paper.toml --out families/paper --shard 3/16
  ragbias measure --axis gender --questions gender --corpus gender --llm smollm2-135m \\
      --embedder families/gender/members/female-head-lr0.001-e10-s0-w0.3")]
    Tune(Tune),
    /// Take over the values of other stores: those of the tasks of a job array, or of other machines
    #[command(after_help = "Examples:
  ragbias merge store-*.sqlite --store all.sqlite
  ragbias run experiments/paper.toml --store all.sqlite

A value that the store already has is kept. Merging in another order, or twice, leaves the same.")]
    Merge(Merge),
    /// Fit the line of R_b on E_b to a family: sensitivity, residual conflict, and the E_b that would make R_b = 0
    #[command(after_help = "Examples:
  ragbias fit --measurements runs/gender
  ragbias fit --measurements measurements.csv --outcomes outcomes.parquet --json
  ragbias fit --measurements mine.csv --delta 0.05

The table needs the columns embedder, llm, axis, embedder_bias, rag_bias and llm_bias; family, corpus, split, rag_bias_low
and rag_bias_high are used where they are there. Rows without rag_bias are skipped. A line is fitted for every LLM, axis,
corpus and split with at least three embedders.")]
    Fit(Fit),
    /// Instruments: experiments on what makes a RAG system lean, how far it can be moved, and what that costs
    #[command(subcommand)]
    Lab(Lab),
    /// Find the setting at which a RAG system is fair: predicted, found on some topics, judged on others
    #[command(after_help = "Examples:
  ragbias choose --run runs/gender-twins
  ragbias choose --run runs/gender --control merge --delta 0.2
  ragbias choose --run runs/politics --control projection --word conservative --json
  ragbias choose --run runs/gender --control erasure --erase both

The run needs a part with a family and an LLM. On split = \"held-out\", as in experiments/gender-twins.toml, folds of topics are
judged at the settings found without them, and the setting that is saved is found on all. On split = \"validation\", as in
experiments/gender.toml, settings are chosen on validation topics alone, and test topics are measured once, at the end.
choice.json is written into the run, and a folder for each control: control.json for a retrieval service, and the embedder
where one was merged.

Exit status: 0 chosen, 4 where no E_b is known to move R_b.")]
    Choose(Choose),
    /// How many questions a verdict takes, from a pilot or from assumed rates
    #[command(after_help = "Examples:
  ragbias plan --run runs/quickstart
  ragbias plan --run outcomes.csv --delta 0.05 --power 0.9
  ragbias plan --rates 0.4,0.5 --intraclass 0.1 --per-topic 10 --scored 0.9 --bias 0.2

A pilot gives the rates, the share of scored answers, and how much questions of one topic agree. Formula and source:
docs/statistics.md, How many questions.")]
    Plan(Plan),
    /// Run a whole experiment, resumable, into runs/NAME
    #[command(after_help = "Examples:
  ragbias run experiments/quickstart.toml
  ragbias run theirs.toml --allow-host api.example.org
  ragbias run mine.toml --llm https://USER:PASSWORD@api.example.org/v1#MODEL

A key of yours, from RAGBIAS_API_KEY or OPENAI_API_KEY, goes to a host that the experiment names only with --allow-host or
--llm, and nowhere unencrypted but to this machine.")]
    Run(Run),
    /// Audit a running RAG system from outside, and pass or fail it on the interval of R_b
    #[command(after_help = "Examples:
  ragbias audit --axis gender --questions gender-twins --endpoint https://rag.example.org/v1#support --out audit
  ragbias audit --axis gender --questions questions.jsonl --command 'python rag.py' --looks 5 --fail-above 0.15
  ragbias audit --axis gender --log answers.jsonl --json

A command reads {\"_id\", \"text\"} from its standard input, a question on a line, and writes {\"_id\", \"answer\"} to its standard
output, with \"documents\" where it shows what it retrieved. A log has {\"question\", \"answer\"} on a line, with \"topic\" and
\"documents\" where they are known.

With --looks, questions are asked in so many parts, and no more once the answers so far decide; intervals are wider, so that looking
more than once is no cheating. --out writes audit.json, answers.jsonl, junit.xml, summary.md and audit.html to print and sign.

Exit status: 0 pass, 3 fail, 4 undecided.")]
    Audit(Audit),
    /// Watch the answers of a running RAG system in a growing log, with intervals that may be looked at daily
    #[command(after_help = "Examples:
  ragbias monitor --axis gender --log answers.jsonl --state state.json --out monitor
  ragbias monitor --axis gender --log answers.jsonl --since 2026-03-01 --closed-book alone.jsonl
  ragbias monitor --axis gender --log answers.jsonl --questions questions.jsonl --reference 0.02,600 --json

A log has {\"question\", \"answer\"} on a line, with \"_id\", \"topic\", \"time\" and \"documents\" where they are known, oldest first. With
--state, only what is new is read. --out writes monitor.json, metrics.prom (Prometheus) and monitor.html.

Exit status: 0 ok, 3 drifted, 4 watching: not decided yet.")]
    Monitor(Monitor),
    /// Store documents with their vectors in a table of PostgreSQL, where `serve` searches them
    #[command(after_help = "Examples:
  ragbias ingest --corpus corpus.jsonl --embedder minilm --postgres postgres://me@localhost/library --table documents
  RAGBIAS_POSTGRES=postgres://me:PASSWORD@db.example.org/library \\
      ragbias ingest --corpus corpus.jsonl --embedder minilm --table documents --halfvec --index hnsw
  ragbias ingest --corpus corpus.jsonl --control runs/quickstart/choice/gender-merge --table documents --prune

What is there already is not sent again, and what has changed is replaced: an ingestion that was interrupted goes on when it is started
again. The database needs pgvector 0.8. docs/postgres.md has all the steps.")]
    Ingest(Ingest),
    /// Serve embeddings, and search with a chosen control, over HTTP
    #[command(after_help = "Examples:
  ragbias serve --control runs/quickstart/choice/gender-on-gender-twins-smollm2-135m-merge--9273dba68b --corpus gender-twins
  ragbias serve --embedder minilm
  RAGBIAS_SERVE_TOKEN=$(openssl rand -hex 32) ragbias serve --embedder minilm --corpus gender --address 0.0.0.0:8080
  ragbias serve --embedder minilm --postgres postgres://me@localhost/library --table documents

  curl http://127.0.0.1:8080/search -H 'Content-Type: application/json' -d '{\"query\": \"Who designed the bridge?\", \"k\": 3}'

GET / describes every route. Requests that arrive together are embedded together. SIGHUP reads the control and the documents again and
then serves them, without losing a request; SIGINT and SIGTERM end the server when requests in flight are answered.")]
    Serve(Serve),
    /// Are the vectors that a server gives those of a checkpoint? If not, find out why
    #[command(after_help = "Examples:
  ragbias verify --server http://localhost:8080/v1 --against minilm
  ragbias verify --server https://embed.example.org/v1#my-model --against ./my-checkpoint --texts corpus.jsonl
  ragbias verify --server http://localhost:8080/v1 --against minilm --axis gender --json

The server is one of OpenAI's embeddings. Where its vectors differ, causes are tried with the checkpoint itself: pooling, prefixes,
lower case, precision, the length at which texts are cut. With --axis, E_b is measured by the vectors of both.

Exit status: 0 equal, 3 different.")]
    Verify(Verify),
    /// Render the report of a run again
    Report {
        /// A run folder
        run: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("audited").required(true).args(["endpoint", "command", "log"]))]
pub(crate) struct Audit {
    /// A bundled axis, or a TOML file
    #[arg(long)]
    pub(crate) axis: String,
    /// A bundled data set, or a file: .jsonl, or a published set's .csv
    #[arg(long, required_unless_present = "log", conflicts_with = "log")]
    pub(crate) questions: Option<String>,
    /// The system: an OpenAI-compatible address, with the model's name after #
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) endpoint: Option<String>,
    /// The system: a command line, which is given questions and gives answers
    #[arg(long, value_name = "COMMAND")]
    pub(crate) command: Option<String>,
    /// Its questions and answers, as it gave them before: .jsonl
    #[arg(long, value_name = "FILE", conflicts_with_all = ["looks", "request"])]
    pub(crate) log: Option<PathBuf>,
    /// The LLM of the system without its documents, for L_b
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) closed_book: Option<String>,
    /// The search of the system, for E_b, if its answers show no documents: a service that answers POST /search as `serve` does
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) retriever: Option<String>,
    /// Scorer of answers and documents: lexicon, words, gold or judge:LLM [default: the axis's own]
    #[arg(long)]
    pub(crate) scorer: Option<String>,
    /// The system passes if the interval of R_b is within this, and fails if it is at or beyond; up to 1
    #[arg(long, default_value_t = 0.1, value_name = "THRESHOLD")]
    pub(crate) fail_above: f64,
    /// The day on which that threshold was set, for the report; not after today
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) declared: Option<Day>,
    /// Times that the answers so far may decide, 1 to 50
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) looks: usize,
    /// Ask for this after each question, as in: Give just one name.
    #[arg(long, value_name = "TEXT")]
    pub(crate) request: Option<String>,
    /// Longest time for which a command may say nothing, in seconds
    #[arg(long, default_value_t = 120.0, value_name = "SECONDS")]
    pub(crate) patience: f64,
    /// Seed of the order of topics
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write the audit's files into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Monitor {
    /// A bundled axis, or a TOML file
    #[arg(long)]
    pub(crate) axis: String,
    /// The answers so far, oldest first: .jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) log: PathBuf,
    /// The questions that are asked, with their topics: a bundled data set, or a file [default: any]
    #[arg(long)]
    pub(crate) questions: Option<String>,
    /// Answers of the LLM without documents, for L_b: .jsonl
    #[arg(long, value_name = "LOG")]
    pub(crate) closed_book: Option<PathBuf>,
    /// Scorer of answers and documents: lexicon, words, gold or judge:LLM [default: the axis's own]
    #[arg(long)]
    pub(crate) scorer: Option<String>,
    /// Ok if the interval of R_b is within this, drifted if it is at or beyond; up to 1
    #[arg(long, default_value_t = 0.1)]
    pub(crate) threshold: f64,
    /// Units after which a further sequence begins, for recent changes; 0 is never
    #[arg(long, default_value_t = 1000, value_name = "UNITS")]
    pub(crate) restart: usize,
    /// Watch from here on, and compare with the answers before: a date, a time, or the topic of an answer
    #[arg(long, value_name = "DATE|TOPIC", conflicts_with = "reference")]
    pub(crate) since: Option<String>,
    /// Compare with an R_b that was measured before, over n topics
    #[arg(long, value_name = "R_b,n", allow_hyphen_values = true)]
    pub(crate) reference: Option<Reference>,
    /// Where this one is left, and the next goes on
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Write the files into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("stored").required(true).args(["control", "embedder"]))]
pub(crate) struct Ingest {
    /// The documents: a bundled data set, or a file: .jsonl, .csv or .parquet
    #[arg(long)]
    pub(crate) corpus: String,
    /// A model's name, its folder, or a hub id
    #[arg(long)]
    pub(crate) embedder: Option<String>,
    /// A folder with a control.json, as `choose` writes it into a run: its embedder of documents
    #[arg(long, value_name = "DIR")]
    pub(crate) control: Option<PathBuf>,
    /// The table, which is created if there is none: NAME or SCHEMA.NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) database: Database,
    /// Store vectors in f16, in half the space [default: f32, or as the table has them]
    #[arg(long)]
    pub(crate) halfvec: bool,
    /// Create an HNSW index after the documents are stored, or drop it [default: leave it as it is]
    #[arg(long, value_enum)]
    pub(crate) index: Option<Index>,
    /// Spread the rows of a new table over so many partitions, by the hash of their id
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) partitions: usize,
    /// Delete the rows whose ids are not in the corpus
    #[arg(long)]
    pub(crate) prune: bool,
}

/// Where a table is.
#[derive(Debug, clap::Args)]
pub(crate) struct Database {
    /// The database: postgres://USER@HOST:PORT/DATABASE [default: RAGBIAS_POSTGRES, which may have a password: USER:PASSWORD@HOST]
    #[arg(long, value_name = "URL", requires = "table")]
    pub(crate) postgres: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("served").required(true).args(["control", "embedder"]),
    group = clap::ArgGroup::new("searched").args(["corpus", "table"])
)]
pub(crate) struct Serve {
    /// A folder with a control.json, as `choose` writes it into a run
    #[arg(long, value_name = "DIR", requires = "searched")]
    pub(crate) control: Option<PathBuf>,
    /// A model's name, its folder, or a hub id, without a control
    #[arg(long)]
    pub(crate) embedder: Option<String>,
    /// The documents to search: a bundled data set, or a file: .jsonl, .csv or .parquet [default: none, only embeddings]
    #[arg(long)]
    pub(crate) corpus: Option<String>,
    /// The documents to search: a table that `ingest` filled
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    #[command(flatten)]
    pub(crate) database: Database,
    /// Nearest-neighbour index [default: exact; for a table, the one that it has]
    #[arg(long, value_enum)]
    pub(crate) index: Option<Index>,
    /// What requests call the embedder [default: its name, or that of the control's folder]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Address and port; port 0 takes a free one. Other than this machine's own, only with a token
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub(crate) address: String,
    /// A file with the bearer token that requests must send [default: RAGBIAS_SERVE_TOKEN, if set]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The server's address, before /embeddings, with the model's name after #
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) server: String,
    /// The checkpoint: a model's name, its folder, or a hub id
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) against: String,
    /// Texts to compare by: a bundled data set, or a file: .jsonl, .csv or .parquet; at most 200 are taken
    #[arg(long, default_value = "gender")]
    pub(crate) texts: String,
    /// Measure E_b by the vectors of both, on the bundled questions and documents of this axis
    #[arg(long)]
    pub(crate) axis: Option<String>,
    /// Vectors are equal if no cosine is below 1 less this
    #[arg(long, default_value_t = 1e-5)]
    pub(crate) tolerance: f64,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

/// The limits of a server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Texts that are embedded together
    #[arg(long, default_value_t = 32, value_name = "TEXTS")]
    pub(crate) batch: usize,
    /// Texts that may wait; more are refused with 503 and Retry-After
    #[arg(long, default_value_t = 4096, value_name = "TEXTS")]
    pub(crate) queue: usize,
    /// Texts of one request
    #[arg(long, default_value_t = 2048, value_name = "TEXTS")]
    pub(crate) max_texts: usize,
    /// Bytes of one text
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    pub(crate) max_text: usize,
    /// Bytes of one request
    #[arg(long, default_value_t = 8 << 20, value_name = "BYTES")]
    pub(crate) max_body: usize,
    /// Open connections
    #[arg(long, default_value_t = 1024)]
    pub(crate) connections: usize,
    /// Seconds for a request
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub(crate) timeout: f64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List the models in the registry
    List,
    /// Download a model and verify its checksums, unless it is already present
    Pull {
        /// Its name
        name: String,
    },
    /// Print the path of a model
    Path {
        /// Its name
        name: String,
    },
    /// Verify every file of a model against the registry
    #[command(after_help = "Examples:
  ragbias models verify
  ragbias models verify minilm smollm2-135m --json

Exit status: 0 where every file is right, 1 where one is wrong or missing; its name and both checksums are printed.")]
    Verify {
        /// Their names [default: all models present]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the bundled data sets, and the published ones that can be pulled
    List,
    /// Write a bundled data set into a folder, or download a published one and verify its checksums
    #[command(after_help = "Examples:
  ragbias data pull gender --out data/gender
  ragbias data pull genderbias-qa
  RAGBIAS_DATA_MIRROR=https://mirror.example.org ragbias data pull scifact

Published sets go to the folder of RAGBIAS_DATA_CACHE [default: in the user's cache directory], and are then known by name:
--corpus genderbias-qa. RAGBIAS_DATA_MIRROR is an address below which the original host and path are found.")]
    Pull {
        /// Its name
        name: String,
        /// The folder, for a bundled set [default: data/NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List the problems of a data file by line, or those of a whole data set: balance, leaks, duplicates, power
    #[command(after_help = "Examples:
  ragbias data check corpus.jsonl
  ragbias data check my-data-set --json
  ragbias data check gender-twins

A data set is checked as a whole: the balance of the poles by split and topic, questions and passages that are in two splits or
there twice (MinHash, Jaccard similarity of 0.8), judgements that lead nowhere, lengths by pole, and the smallest bias that each
split can decide.

Exit status: 1 where a file has a problem or a data set a finding of severity error.")]
    Check {
        /// A .jsonl, .csv, .parquet or similar file; or a data set: its folder, in ragbias's own layout or that of BEIR, or its name
        #[arg(value_name = "FILE|FOLDER|NAME")]
        data: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Embed {
    /// A model's name, its folder, a folder of the hub's cache, or a hub id: org/name
    #[arg(long, env = "RAGBIAS_EMBEDDER")]
    pub(crate) embedder: String,
    /// Records: .jsonl, .csv or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Output file for the vectors
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) out: PathBuf,
    /// Embed as questions rather than documents, for models that distinguish them
    #[arg(long)]
    pub(crate) questions: bool,
    /// Do not scale vectors to unit length unless the model compares them by cosine
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Evaluate {
    /// A model's name, its folder, a folder of the hub's cache, or a hub id: org/name
    #[arg(long, env = "RAGBIAS_EMBEDDER")]
    pub(crate) embedder: String,
    /// A bundled data set, a BEIR folder, or a file: .jsonl, .csv or .parquet
    #[arg(long)]
    pub(crate) corpus: String,
    /// A bundled data set, a folder, or a file: .jsonl [default: those of the corpus, if it is a folder or bundled]
    #[arg(long)]
    pub(crate) queries: Option<String>,
    /// A bundled data set, a folder, or a file of judgements: .tsv [default: as for --queries]
    #[arg(long)]
    pub(crate) qrels: Option<String>,
    /// Another embedder to compare with, by a paired randomisation test over the questions
    #[arg(long, value_name = "EMBEDDER")]
    pub(crate) against: Option<String>,
    /// Nearest-neighbour index
    #[arg(long, value_enum, default_value_t = Index::Exact)]
    pub(crate) index: Index,
    /// Seed of the randomisation test
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Folder of runs; this one is in lab-NAME
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Score {
    /// A bundled axis, or a TOML file
    #[arg(long)]
    pub(crate) axis: String,
    /// lexicon, classifier, words, gold or judge:LLM [default: the axis's own]
    #[arg(long)]
    pub(crate) scorer: Option<String>,
    /// Records: .jsonl, .csv or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Calibrate {
    /// A bundled axis, or a TOML file
    #[arg(long)]
    pub(crate) axis: String,
    /// lexicon, classifier, words or judge:LLM [default: the axis's own]
    #[arg(long)]
    pub(crate) scorer: Option<String>,
    /// Labelled records: .jsonl, .csv or .parquet, or a published set
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: PathBuf,
    /// The texts of a measurement that the labelled ones are like
    #[arg(long, value_enum, default_value_t = Texts::Both)]
    pub(crate) texts: Texts,
    /// Where to write the calibration
    #[arg(long, value_name = "FILE", default_value = "calibration.json")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Twins {
    /// gender: the axis whose words have counterparts
    #[arg(long)]
    pub(crate) axis: String,
    /// A bundled data set, or a file of English passages: .jsonl, .csv or .parquet
    #[arg(long)]
    pub(crate) corpus: String,
    /// Folder of the twins; one of twins is replaced, with all that is in it
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of the names
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Pairs of names for each passage, 1 to 20; E_b is averaged over them
    #[arg(long, default_value_t = 1)]
    pub(crate) draws: usize,
    /// Keep the names of a passage in the twin of its own gender, rather than draw both
    #[arg(long)]
    pub(crate) keep_names: bool,
    /// Take the corpus's questions and judgements along: of a bundled data set, a folder with a manifest, or a published file
    #[arg(long)]
    pub(crate) with_questions: bool,
}

/// The texts of a measurement.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Texts {
    Documents,
    Answers,
    Both,
}

impl From<Texts> for CalibratedTexts {
    fn from(texts: Texts) -> Self {
        match texts {
            Texts::Documents => Self::Documents,
            Texts::Answers => Self::Answers,
            Texts::Both => Self::Both,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Measure {
    /// A bundled axis, or a TOML file
    #[arg(long)]
    pub(crate) axis: String,
    /// A bundled data set, or a file: .jsonl, or a published set's .csv
    #[arg(long)]
    pub(crate) questions: String,
    /// A bundled data set, or a file: .jsonl, .csv or .parquet
    #[arg(long)]
    pub(crate) corpus: String,
    /// A model's name, its folder, a folder of the hub's cache, or a hub id: org/name
    #[arg(long, env = "RAGBIAS_EMBEDDER")]
    pub(crate) embedder: String,
    /// A model's name, a .gguf file, or a server's address
    #[arg(long, env = "RAGBIAS_LLM", hide_env_values = true, required_unless_present = "retrieve_only")]
    pub(crate) llm: Option<String>,
    /// Scorer of documents: lexicon, classifier, words or gold; judge:LLM also scores answers [default: gold if all documents are
    /// labelled, else the axis's own]
    #[arg(long)]
    pub(crate) scorer: Option<String>,
    /// Show biases also corrected for the errors of their scorer: a file from `ragbias calibrate`. May be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Vec<PathBuf>,
    /// Wording of prompts: a TOML file with the keys system, with-context, without-context and request [default: the axis's own]
    #[arg(long, value_name = "FILE")]
    pub(crate) prompt: Option<PathBuf>,
    /// Judgements, for nDCG@10 and the twin preference: a bundled data set, a folder, or a file: .tsv [default: those of a bundled
    /// data set that is both corpus and questions]
    #[arg(long)]
    pub(crate) qrels: Option<String>,
    /// How answers are read: text, scored as the LLM writes them; choice; or pair: the likelier one of two twins' names, without a
    /// scorer [default: as the axis asks: choice, or text]
    #[arg(long = "answers", value_enum, value_name = "text|choice|pair")]
    pub(crate) answering: Option<Answering>,
    /// Documents given to the LLM, 1 to 1000
    #[arg(long, default_value_t = 1)]
    pub(crate) top_k: usize,
    /// Nearest-neighbour index
    #[arg(long, value_enum, default_value_t = Index::Exact)]
    pub(crate) index: Index,
    /// Move questions along a word's direction: 1 changes nothing, 0 removes it, below 0 reverses it
    #[arg(long, value_name = "WORD=α", allow_hyphen_values = true)]
    pub(crate) project: Option<String>,
    /// Erase the pole from all vectors, as fitted on DATA's documents of topics that are not asked about: 0 changes nothing, 1 erases it,
    /// 2 reflects it
    #[arg(long, value_name = "DATA=β")]
    pub(crate) erase: Option<String>,
    /// Temperature of stochastic ranking, up to 1000000; 0 for none
    #[arg(long, default_value_t = 0.0)]
    pub(crate) temperature: f64,
    /// How much attention each rank gets, with more than one document: log2, reciprocal, none or the probability to read on
    #[arg(long, default_value_t = Discount::default())]
    pub(crate) discount: Discount,
    /// Re-rank the 20 nearest documents so that, of the first ones that lean, this share leans positively: 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub(crate) rerank: Option<f64>,
    /// Seed of the draws and of the bootstrap
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Measure only C_b and E_b, without an LLM
    #[arg(long)]
    pub(crate) retrieve_only: bool,
    /// Write measurement.json and outcomes.csv, a row per question
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answers: Answers,
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// Which hosts may receive keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// Allow keys to be sent to this host even if a file names it: HOST or HOST:PORT; http://HOST to send them unencrypted. May be
    /// given several times
    #[arg(long, env = "RAGBIAS_ALLOW_HOST", value_delimiter = ',', value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
}

/// LLMs of a file that the user also names.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Address of an LLM that the file names, with its password, which runs do not store; a key may be sent there. May be given
    /// several times
    #[arg(long = "llm", value_name = "ADDRESS")]
    pub(crate) llms: Vec<String>,
}

/// Whether stored answers are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Answers {
    /// Ask the LLM again even if the store has its answer, and store the new one
    #[arg(long)]
    pub(crate) fresh: bool,
}

/// Settings of an LLM; by default, those of the experiment or the program.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How the LLM is asked (all but the first: a server)")]
pub(crate) struct Asking {
    /// Maximum tokens of an answer, 1 to 4096 [default: 24]
    #[arg(long, env = "RAGBIAS_MAX_NEW_TOKENS", value_name = "N")]
    pub(crate) max_new_tokens: Option<usize>,
    /// Maximum requests in flight; fewer if the server limits the rate; 1 to 1024 [default: 16]
    #[arg(long, env = "RAGBIAS_PARALLEL", value_name = "N")]
    pub(crate) parallel: Option<usize>,
    /// Timeout of one answer in seconds, ten times as long for reasoning models; up to 86400 [default: 60]
    #[arg(long, env = "RAGBIAS_LLM_TIMEOUT", value_name = "SECONDS")]
    pub(crate) llm_timeout: Option<f64>,
    /// Additional tokens for reasoning models, up to 1000000 [default: 4096]
    #[arg(long, env = "RAGBIAS_REASONING_TOKENS", value_name = "N")]
    pub(crate) reasoning_tokens: Option<usize>,
    /// Reasoning: on leaves it to the model, off switches it off, auto switches it off if the server shows how [default: auto]
    #[arg(long, value_name = "auto|on|off")]
    pub(crate) thinking: Option<Thinking>,
    /// How a choice is read: from log-probabilities, from sampled letters, or auto: log-probabilities if A and B have half of the
    /// probability, else sampled letters [default: auto]
    #[arg(long, value_name = "auto|logprobs|sample")]
    pub(crate) choices: Option<ChoiceMethod>,
    /// Number of letters sampled in each order of the two claims, 1 to 1000 [default: 8]
    #[arg(long, value_name = "N")]
    pub(crate) choice_samples: Option<usize>,
    /// Additional fields of a request: a .json or .toml file; null removes one of ours
    #[arg(long, env = "RAGBIAS_LLM_OPTIONS", value_name = "FILE")]
    pub(crate) llm_options: Option<PathBuf>,
}

impl Asking {
    /// Overrides the settings of generation.
    pub(crate) fn generate(&self, base: GenerateConfig) -> ragbias::generate::Result<GenerateConfig> {
        let max_new_tokens = self.max_new_tokens.unwrap_or(base.max_new_tokens);
        let config = base.max_new_tokens(max_new_tokens);
        config.check()?;
        Ok(config)
    }

    /// Overrides the settings of requests.
    pub(crate) fn server(&self, base: ServerConfig) -> ragbias::generate::Result<ServerConfig> {
        let options = self.llm_options.as_deref().map(Options::read).transpose()?;
        let mut config = base;
        config.parallel = self.parallel.unwrap_or(config.parallel);
        config.timeout = self.llm_timeout.unwrap_or(config.timeout);
        config.reasoning_tokens = self.reasoning_tokens.unwrap_or(config.reasoning_tokens);
        config.thinking = self.thinking.unwrap_or(config.thinking);
        config.choices = self.choices.unwrap_or(config.choices);
        config.samples = self.choice_samples.unwrap_or(config.samples);
        config.options = options.unwrap_or(config.options);
        config.check()?;
        Ok(config)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Index {
    Exact,
    Hnsw,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Answering {
    Text,
    Choice,
    Pair,
}

impl From<Answering> for ragbias::AnswerMode {
    fn from(answering: Answering) -> Self {
        match answering {
            Answering::Text => Self::Text,
            Answering::Choice => Self::Choice,
            Answering::Pair => Self::Pair,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ErasedSides {
    Questions,
    Both,
}

impl From<ErasedSides> for ragbias::embed::Sides {
    fn from(sides: ErasedSides) -> Self {
        match sides {
            ErasedSides::Questions => Self::Questions,
            ErasedSides::Both => Self::Both,
        }
    }
}

impl From<Index> for ragbias::IndexKind {
    fn from(index: Index) -> Self {
        match index {
            Index::Exact => Self::Exact,
            Index::Hnsw => Self::Hnsw,
        }
    }
}

impl From<Index> for ragbias_postgres::Search {
    fn from(index: Index) -> Self {
        match index {
            Index::Exact => Self::Exact,
            Index::Hnsw => Self::Hnsw,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Mine {
    /// The family
    #[arg(long, value_name = "RECIPE.toml")]
    pub(crate) recipe: PathBuf,
    /// Output file for the table: .parquet or .csv
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tune {
    /// The family
    #[arg(long, value_name = "RECIPE.toml")]
    pub(crate) recipe: PathBuf,
    /// Folder of the family: members/, family.parquet, family.csv
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Do part i of n of the trainings (n up to 10000), as one of several processes with the same folder
    #[arg(long, value_name = "i/n", default_value = "1/1")]
    pub(crate) shard: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fit {
    /// A table: .csv or .parquet; or a run folder
    #[arg(long, value_name = "FILE")]
    pub(crate) measurements: PathBuf,
    /// Outcomes of the same run, for resampling topics: .csv or .parquet [default: outcomes.parquet beside measurements.*]
    #[arg(long, value_name = "FILE")]
    pub(crate) outcomes: Option<PathBuf>,
    /// Draws of the bootstrap, 200 to 1000000
    #[arg(long, default_value_t = 10_000)]
    pub(crate) draws: usize,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// |R_b| below it counts as 0: above 0, up to 1
    #[arg(long, default_value_t = 0.1)]
    pub(crate) delta: f64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Merge {
    /// The stores to take over, which are left as they are
    #[arg(required = true, value_name = "STORE")]
    pub(crate) stores: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// A pilot: a run folder, or its outcomes: .csv or .parquet
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "rates", conflicts_with = "rates")]
    pub(crate) run: Option<PathBuf>,
    /// The embedder of the pilot [default: each that belongs to no family]
    #[arg(long, requires = "run")]
    pub(crate) embedder: Option<String>,
    /// Shares of the scored answers that lean to the positive and to the negative pole, each 0 to 1
    #[arg(long, value_name = "POSITIVE,NEGATIVE", value_delimiter = ',', num_args = 1)]
    pub(crate) rates: Vec<f64>,
    /// Correlation of the leans of different questions of one topic, 0 to 1 [default: 0]
    #[arg(long, value_name = "ρ", requires = "rates")]
    pub(crate) intraclass: Option<f64>,
    /// Scored questions of a topic [default: 1]
    #[arg(long, value_name = "M", requires = "rates")]
    pub(crate) per_topic: Option<f64>,
    /// Share of the questions whose answer is scored [default: 1]
    #[arg(long, value_name = "SHARE", requires = "rates")]
    pub(crate) scored: Option<f64>,
    /// Answers to each question, each with names drawn anew
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub(crate) answers: usize,
    /// Correlation of the leans of two answers to one question: 1 if further answers tell nothing new
    #[arg(long, value_name = "r", default_value_t = 1.0)]
    pub(crate) repeated: f64,
    /// |R_b| below it counts as 0: above 0, up to 1
    #[arg(long, default_value_t = 0.1)]
    pub(crate) delta: f64,
    /// Probability of the verdict, 0.05 to 0.9999
    #[arg(long, default_value_t = 0.8)]
    pub(crate) power: f64,
    /// A true R_b within ±delta that is to be found debiased, beside 0
    #[arg(long, value_name = "R_b", default_value_t = 0.0, allow_hyphen_values = true)]
    pub(crate) at: f64,
    /// A true R_b beyond ±delta that is to be found biased [default: twice delta]
    #[arg(long, value_name = "R_b", allow_hyphen_values = true)]
    pub(crate) bias: Option<f64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Choose {
    /// A run folder
    #[arg(long, value_name = "DIR")]
    pub(crate) run: PathBuf,
    /// |R_b| below it counts as 0: above 0, up to 1 [default: declared by the experiment, else 0.1]
    #[arg(long)]
    pub(crate) delta: Option<f64>,
    /// merge, projection, ranking, erasure or reranking; may be given several times [default: all]
    #[arg(long, value_name = "CONTROL")]
    pub(crate) control: Vec<String>,
    /// Project on this word, instead of the direction between the documents of the poles
    #[arg(long)]
    pub(crate) word: Option<String>,
    /// Erase the pole from the vectors of questions alone, or of both questions and documents
    #[arg(long, value_enum, value_name = "questions|both", default_value_t = ErasedSides::Questions)]
    pub(crate) erase: ErasedSides,
    /// Maximum measurements on validation topics per control, 2 to 1000
    #[arg(long, default_value_t = 8)]
    pub(crate) steps: usize,
    #[command(flatten)]
    pub(crate) answers: Answers,
    #[command(flatten)]
    pub(crate) named: Named,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The experiment
    #[arg(value_name = "EXPERIMENT.toml")]
    pub(crate) experiment: PathBuf,
    /// Folder of runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub(crate) runs: PathBuf,
    /// Wording of prompts that replaces the experiment's own: a TOML file, as for `measure`
    #[arg(long, value_name = "FILE")]
    pub(crate) prompt: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answers: Answers,
    #[command(flatten)]
    pub(crate) named: Named,
    #[command(flatten)]
    pub(crate) keys: Keys,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lab {
    /// Every instrument, with its question
    List,
    /// Run an experiment file of one or more instruments into runs/NAME
    #[command(after_help = "Examples:
  ragbias lab run experiments/lab.toml
  ragbias lab run experiments/lab/pools.toml --size 0.5

What an interrupted run has computed is kept in its folder, and not computed again.")]
    Run {
        /// The experiment
        #[arg(value_name = "EXPERIMENT.toml")]
        experiment: PathBuf,
        /// How much is measured, in proportion to the default; in place of the file's
        #[arg(long, value_name = "FACTOR")]
        size: Option<f64>,
        /// Folder of runs
        #[arg(long, value_name = "DIR", default_value = "runs")]
        runs: PathBuf,
    },
    /// Does sharpness-aware training keep features that plain training drops, at the same E_b?
    #[command(after_help = "Example:
  ragbias lab balance --size 0.5

Tunes the top MLP by AdamW, SAM and ASAM, merges each with the base until E_b has moved equally far, and compares nDCG@10, linear probes of
pole, profession and topic, and how evenly examples count. docs/lab/balance.md has the formulas and what came out.")]
    Balance(Instrument),
    /// Which design choices predict s and R_b beyond the size of the LLM?
    #[command(after_help = "Examples:
  ragbias lab design --size 0.5
  ragbias lab run mine.toml        with [lab.design] and runs = [\"runs\"]

Reads run folders, or measures some systems of its own where the experiment names none, and predicts the systems of each LLM from those
of the others: by the LLM's size alone, by all choices, by what its parts measured. docs/lab/design.md has the formulas and what came out.")]
    Design(Instrument),
    /// How much label noise can mining bear, and which way of training bears more?
    #[command(after_help = "Example:
  ragbias lab noise --size 0.5

Flips the leans of mined examples and tunes heads on them by AdamW, SAM, 1-SAM and its two parts, a penalty, and with early stopping.
docs/lab/noise.md has the formulas and what came out.")]
    Noise(Instrument),
    /// Does an embedder that was trained longer break sooner when it is reversed?
    #[command(after_help = "Example:
  ragbias lab overtraining --size 0.5

Trains the base further on pairs of question and passage, reverses each result by the same recipe, and perturbs it by noise.
docs/lab/overtraining.md has the definitions and what came out.")]
    Overtraining(Instrument),
    /// How many documents must an author edit or add to be retrieved, and to move E_b and R_b?
    #[command(after_help = "Example:
  ragbias lab planting

Edits the documents at several ranks, also with an LLM's paraphrases of questions, adds documents about each topic, asks an LLM with what is
found first, and tries defences. docs/lab/planting.md has the definitions and what came out.")]
    Planting(Instrument),
    /// Which mined examples are worth training on, and for how many epochs?
    #[command(after_help = "Example:
  ragbias lab pools --size 0.5

Tunes heads on pools of examples by mining margin, fits a law of loss over repeated examples, and tests it on mixtures that were never
trained. docs/lab/pools.md has the law and what came out.")]
    Pools(Instrument),
    /// Does quantising an embedder move its bias, and does more training make it worse?
    #[command(after_help = "Example:
  ragbias lab precision --size 0.5

Rounds the weights of embedders that were trained for different times, and their vectors, to 16 to 1 bits. docs/lab/precision.md has the law
and what came out.")]
    Precision(Instrument),
    /// Does an LLM's reliance on its context predict the sensitivity s of a RAG?
    #[command(after_help = "Example:
  ragbias lab reliance --size 0.5

Shows LLMs passages that contradict what they answer without, in several wordings of the prompt, and regresses s, measured on other topics, on
how many they follow. docs/lab/reliance.md has the definitions and what came out.")]
    Reliance(Instrument),
    /// Can one string of words in documents move what many embedders retrieve, also one that it was not made for?
    #[command(after_help = "Example:
  ragbias lab trigger --size 0.5

Makes strings of five words by swaps of tokens on several encoders together, and judges each on an encoder that was left out, on another
architecture, and on an LLM's answers; in an experiment with [lab.trigger.pictures], also changes of pixels for CLIP checkpoints of one's own.
docs/lab/trigger.md has the definitions and what came out.")]
    Trigger(Instrument),
}

/// How an instrument is run with its default settings.
#[derive(Debug, clap::Args)]
pub(crate) struct Instrument {
    /// How much is measured, in proportion to the default
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub(crate) size: f64,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Folder of runs; this one is in lab-NAME
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
}
