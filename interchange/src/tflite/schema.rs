//! The tables of a model, with the numbers of their fields in the schema of TensorFlow Lite (tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3).

use std::borrow::Cow;

use super::table::{Held, Table, Vector};

/// Bytes of a name that are kept.
const LONGEST_NAME: usize = 256;

/// A file.
#[derive(Clone, Copy)]
pub(crate) struct Model<'a> {
    codes: Vector<'a, 4>,
    pub(crate) graphs: Vector<'a, 4>,
    description: Vector<'a, 1>,
    buffers: Vector<'a, 4>,
    file: &'a [u8],
}

impl<'a> Model<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Held<Self> {
        let root = Table::root(bytes)?;
        Some(Self {
            codes: root.vector(1)?,
            graphs: root.vector(2)?,
            description: root.vector(3)?,
            buffers: root.vector(4)?,
            file: root.file(),
        })
    }

    /// What wrote it.
    pub(crate) fn description(&self) -> Cow<'a, str> {
        self.description.text(LONGEST_NAME)
    }

    /// A graph by its number; the first is the one that is called.
    pub(crate) fn graph(&self, number: usize) -> Held<Graph<'a>> {
        let table = self.graphs.table(number)?;
        Some(Graph {
            tensors: table.vector(0)?,
            inputs: table.vector(1)?,
            outputs: table.vector(2)?,
            operators: table.vector(3)?,
        })
    }

    /// Where the bytes of a buffer lie in the file: an empty range of one that has none, or of buffer 0.
    pub(crate) fn buffer(&self, number: u32) -> Held<std::ops::Range<usize>> {
        let table = self.buffers.table(usize::try_from(number).ok()?)?;
        // A buffer of a file beyond 2 GB lies behind the tables.
        let (begin, length) = (table.u64(1)?, table.u64(2)?);
        if begin > 1 {
            let begin = usize::try_from(begin).ok()?;
            let end = begin.checked_add(usize::try_from(length).ok()?)?;
            self.file.get(begin..end)?;
            return Some(begin..end);
        }
        Some(table.vector::<1>(0)?.range())
    }

    /// The operator of a code.
    pub(crate) fn code(&self, number: u32) -> Held<Code<'a>> {
        let table = self.codes.table(usize::try_from(number).ok()?)?;
        // Numbers beyond 127 have a field of their own.
        let builtin = i32::from(table.u8(0, 0)? as i8).max(table.i32(3, 0)?);
        let name = usize::try_from(builtin).ok().and_then(|builtin| OPERATORS.get(builtin)).copied();
        Some(Code { name: name.unwrap_or("an operator without a name"), custom: table.vector(1)? })
    }
}

/// What an operator is.
#[derive(Clone, Copy)]
pub(crate) struct Code<'a> {
    pub(crate) name: &'static str,
    custom: Vector<'a, 1>,
}

impl<'a> Code<'a> {
    /// The name of one that is not of TensorFlow Lite itself.
    pub(crate) fn custom(&self) -> Cow<'a, str> {
        self.custom.text(LONGEST_NAME)
    }
}

/// Tensors, and the operators between them in the order in which they run.
#[derive(Clone, Copy)]
pub(crate) struct Graph<'a> {
    pub(crate) tensors: Vector<'a, 4>,
    pub(crate) inputs: Vector<'a, 4>,
    pub(crate) outputs: Vector<'a, 4>,
    pub(crate) operators: Vector<'a, 4>,
}

impl<'a> Graph<'a> {
    pub(crate) fn tensor(&self, number: usize) -> Held<Tensor<'a>> {
        let table = self.tensors.table(number)?;
        Some(Tensor {
            shape: table.vector(0)?,
            kind: table.u8(1, 0)?,
            buffer: table.u32(2)?,
            name: table.vector(3)?,
            quantization: table.table(4)?,
            is_variable: table.bool(5, false)?,
            is_sparse: table.table(6)?.is_some(),
            signature: table.vector(7)?,
        })
    }

    pub(crate) fn operator(&self, number: usize) -> Held<Operator<'a>> {
        let table = self.operators.table(number)?;
        Some(Operator {
            code: table.u32(0)?,
            inputs: table.vector(1)?,
            outputs: table.vector(2)?,
            options: table.table(4)?,
        })
    }
}

/// A tensor, whose numbers lie in a buffer where it is a constant.
#[derive(Clone, Copy)]
pub(crate) struct Tensor<'a> {
    pub(crate) shape: Vector<'a, 4>,
    /// The type of its numbers: [`KINDS`].
    pub(crate) kind: u8,
    pub(crate) buffer: u32,
    name: Vector<'a, 1>,
    quantization: Option<Table<'a>>,
    /// Whether it keeps its numbers from one call to the next.
    pub(crate) is_variable: bool,
    pub(crate) is_sparse: bool,
    /// Its shape with -1 for sizes that are open; empty where it has none.
    pub(crate) signature: Vector<'a, 4>,
}

/// What the integers of a tensor are worth: scale·(q - zero).
#[derive(Clone, Copy)]
pub(crate) struct Scales<'a> {
    pub(crate) scale: Vector<'a, 4>,
    pub(crate) zero: Vector<'a, 8>,
    /// The axis that has a scale for each place, where there are several.
    pub(crate) axis: i32,
}

impl<'a> Tensor<'a> {
    pub(crate) fn name(&self) -> Cow<'a, str> {
        self.name.text(LONGEST_NAME)
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.is(name)
    }

    /// Its scales; `Some(None)` where it has none.
    pub(crate) fn scales(&self) -> Held<Option<Scales<'a>>> {
        let Some(table) = self.quantization else { return Some(None) };
        let scales = Scales { scale: table.vector(2)?, zero: table.vector(3)?, axis: table.i32(6, 0)? };
        Some(Some(scales).filter(|scales| scales.scale.len() > 0))
    }
}

/// An operator with the numbers of the tensors that it reads and gives; -1 is one that is left out.
#[derive(Clone, Copy)]
pub(crate) struct Operator<'a> {
    pub(crate) code: u32,
    pub(crate) inputs: Vector<'a, 4>,
    pub(crate) outputs: Vector<'a, 4>,
    pub(crate) options: Option<Table<'a>>,
}

/// The names of the types of numbers, in the order of `TensorType`.
const KINDS: [&str; 18] = [
    "float32",
    "float16",
    "int32",
    "uint8",
    "int64",
    "string",
    "bool",
    "int16",
    "complex64",
    "int8",
    "float64",
    "complex128",
    "uint64",
    "resource",
    "variant",
    "uint32",
    "uint16",
    "int4",
];

/// The name of a type of numbers.
pub(crate) fn kind_name(kind: u8) -> &'static str {
    KINDS.get(usize::from(kind)).copied().unwrap_or("a type without a name")
}

/// The names of the operators, in the order of `BuiltinOperator`.
const OPERATORS: [&str; 206] = [
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE",
    "DEQUANTIZE",
    "EMBEDDING_LOOKUP",
    "FLOOR",
    "FULLY_CONNECTED",
    "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION",
    "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION",
    "LOGISTIC",
    "LSH_PROJECTION",
    "LSTM",
    "MAX_POOL_2D",
    "MUL",
    "RELU",
    "RELU_N1_TO_1",
    "RELU6",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RNN",
    "SOFTMAX",
    "SPACE_TO_DEPTH",
    "SVDF",
    "TANH",
    "CONCAT_EMBEDDINGS",
    "SKIP_GRAM",
    "CALL",
    "CUSTOM",
    "EMBEDDING_LOOKUP_SPARSE",
    "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "GATHER",
    "BATCH_TO_SPACE_ND",
    "SPACE_TO_BATCH_ND",
    "TRANSPOSE",
    "MEAN",
    "SUB",
    "DIV",
    "SQUEEZE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "STRIDED_SLICE",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "EXP",
    "TOPK_V2",
    "SPLIT",
    "LOG_SOFTMAX",
    "DELEGATE",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "CAST",
    "PRELU",
    "MAXIMUM",
    "ARG_MAX",
    "MINIMUM",
    "LESS",
    "NEG",
    "PADV2",
    "GREATER",
    "GREATER_EQUAL",
    "LESS_EQUAL",
    "SELECT",
    "SLICE",
    "SIN",
    "TRANSPOSE_CONV",
    "SPARSE_TO_DENSE",
    "TILE",
    "EXPAND_DIMS",
    "EQUAL",
    "NOT_EQUAL",
    "LOG",
    "SUM",
    "SQRT",
    "RSQRT",
    "SHAPE",
    "POW",
    "ARG_MIN",
    "FAKE_QUANT",
    "REDUCE_PROD",
    "REDUCE_MAX",
    "PACK",
    "LOGICAL_OR",
    "ONE_HOT",
    "LOGICAL_AND",
    "LOGICAL_NOT",
    "UNPACK",
    "REDUCE_MIN",
    "FLOOR_DIV",
    "REDUCE_ANY",
    "SQUARE",
    "ZEROS_LIKE",
    "FILL",
    "FLOOR_MOD",
    "RANGE",
    "RESIZE_NEAREST_NEIGHBOR",
    "LEAKY_RELU",
    "SQUARED_DIFFERENCE",
    "MIRROR_PAD",
    "ABS",
    "SPLIT_V",
    "UNIQUE",
    "CEIL",
    "REVERSE_V2",
    "ADD_N",
    "GATHER_ND",
    "COS",
    "WHERE",
    "RANK",
    "ELU",
    "REVERSE_SEQUENCE",
    "MATRIX_DIAG",
    "QUANTIZE",
    "MATRIX_SET_DIAG",
    "ROUND",
    "HARD_SWISH",
    "IF",
    "WHILE",
    "NON_MAX_SUPPRESSION_V4",
    "NON_MAX_SUPPRESSION_V5",
    "SCATTER_ND",
    "SELECT_V2",
    "DENSIFY",
    "SEGMENT_SUM",
    "BATCH_MATMUL",
    "PLACEHOLDER_FOR_GREATER_OP_CODES",
    "CUMSUM",
    "CALL_ONCE",
    "BROADCAST_TO",
    "RFFT2D",
    "CONV_3D",
    "IMAG",
    "REAL",
    "COMPLEX_ABS",
    "HASHTABLE",
    "HASHTABLE_FIND",
    "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE",
    "REDUCE_ALL",
    "CONV_3D_TRANSPOSE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "BROADCAST_ARGS",
    "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE",
    "RANDOM_UNIFORM",
    "MULTINOMIAL",
    "GELU",
    "DYNAMIC_UPDATE_SLICE",
    "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD",
    "UNSORTED_SEGMENT_MAX",
    "UNSORTED_SEGMENT_SUM",
    "ATAN2",
    "UNSORTED_SEGMENT_MIN",
    "SIGN",
    "BITCAST",
    "BITWISE_XOR",
    "RIGHT_SHIFT",
    "STABLEHLO_LOGISTIC",
    "STABLEHLO_ADD",
    "STABLEHLO_DIVIDE",
    "STABLEHLO_MULTIPLY",
    "STABLEHLO_MAXIMUM",
    "STABLEHLO_RESHAPE",
    "STABLEHLO_CLAMP",
    "STABLEHLO_CONCATENATE",
    "STABLEHLO_BROADCAST_IN_DIM",
    "STABLEHLO_CONVOLUTION",
    "STABLEHLO_SLICE",
    "STABLEHLO_CUSTOM_CALL",
    "STABLEHLO_REDUCE",
    "STABLEHLO_ABS",
    "STABLEHLO_AND",
    "STABLEHLO_COSINE",
    "STABLEHLO_EXPONENTIAL",
    "STABLEHLO_FLOOR",
    "STABLEHLO_LOG",
    "STABLEHLO_MINIMUM",
    "STABLEHLO_NEGATE",
    "STABLEHLO_OR",
    "STABLEHLO_POWER",
    "STABLEHLO_REMAINDER",
    "STABLEHLO_RSQRT",
    "STABLEHLO_SELECT",
    "STABLEHLO_SUBTRACT",
    "STABLEHLO_TANH",
    "STABLEHLO_SCATTER",
    "STABLEHLO_COMPARE",
    "STABLEHLO_CONVERT",
    "STABLEHLO_DYNAMIC_SLICE",
    "STABLEHLO_DYNAMIC_UPDATE_SLICE",
    "STABLEHLO_PAD",
    "STABLEHLO_IOTA",
    "STABLEHLO_DOT_GENERAL",
    "STABLEHLO_REDUCE_WINDOW",
    "STABLEHLO_SORT",
    "STABLEHLO_WHILE",
    "STABLEHLO_GATHER",
    "STABLEHLO_TRANSPOSE",
    "DILATE",
    "STABLEHLO_RNG_BIT_GENERATOR",
    "REDUCE_WINDOW",
];
