//! Turns the text of a condition into a tree, by the CEL parser.
//!
//! This is the only file that knows the `cel` crate, but for the bench that compares us with its interpreter. The parser
//! recurses without looking at the stack, so the source's length and nesting are limited before it runs, and the depth of
//! its tree before anything of ours walks it. Its positions are those of single tokens: the range of a whole expression is
//! put together from them here.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::parser::{ParseError, Parser};

use super::fault::Fault;
use super::shape;
use super::tokens::{self, Token, TokenKind};

/// The longest condition in bytes. The longest that people write are a few hundred; the parser takes about 10 ms for
/// this many.
pub const SOURCE_LENGTH_MAX: usize = 4096;

/// How deep the tree of a condition may be: brackets in brackets, and terms in a chain of `+` or of comparisons. Chains
/// of `&&` and `||` count little, since they become balanced trees.
pub(super) const DEPTH_MAX: usize = 64;

/// An expression and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) range: Range<usize>,
    pub(super) form: Form,
}

/// What an expression is.
#[derive(Debug)]
pub(super) enum Form {
    Boolean(bool),
    Number(f64),
    Text(String),
    Null,
    List(Vec<Node>),
    Name(String),
    /// `of.name`, or `of["name"]`.
    Field {
        of: Box<Node>,
        name: String,
    },
    /// `has(field)`: the node is a field.
    Present(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary {
        operator: Operator,
        left: Box<Node>,
        right: Box<Node>,
    },
    Choose {
        test: Box<Node>,
        yes: Box<Node>,
        no: Box<Node>,
    },
    Call {
        name: String,
        target: Option<Box<Node>>,
        arguments: Vec<Node>,
    },
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    Compare(Order),
    Calculate(Arithmetic),
    In,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// Tells whether `left` stands in this order to `right`.
    pub(super) fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }

    /// Returns the order that holds when the two sides change places.
    pub(super) const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }
}

/// A calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Arithmetic {
    /// Returns the operator as it is written.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// Parses `source`; returns every fault that can be told before its meaning is known.
pub(super) fn parse(source: &str) -> Result<Node, Vec<Fault>> {
    if source.len() > SOURCE_LENGTH_MAX {
        let message = format!(
            "the condition has {} bytes; at most {SOURCE_LENGTH_MAX} are allowed",
            source.len()
        );
        return Err(vec![Fault::new(0..source.len(), message)]);
    }
    let (tokens, faults) = tokens::cut(source);
    if !faults.is_empty() {
        return Err(faults);
    }
    let faults = shape::faults(source, &tokens);
    if !faults.is_empty() {
        return Err(faults);
    }
    let (expression, positions) = Parser::new()
        .max_recursion_depth(u16::MAX - 1)
        .parse_with_source_info(source)
        .map_err(|failure| syntax_faults(source, &tokens, &failure.errors))?;
    let reader = Reader {
        source,
        tokens: &tokens,
        positions: &positions,
    };
    reader.node(expression, 0).map_err(|fault| vec![fault])
}

/// Says where the parser stopped. What it says itself speaks of its grammar, and after the first error mostly of
/// consequences.
fn syntax_faults(source: &str, tokens: &[Token], errors: &[ParseError]) -> Vec<Fault> {
    let Some(error) = errors.iter().min_by_key(|error| error.pos) else {
        return vec![Fault::new(0..source.len(), "this cannot be read as a condition")];
    };
    let at = byte_of(source, error.pos);
    let token = tokens.iter().find(|token| token.range.end > at);
    let range = token.map_or(source.len()..source.len(), |token| token.range.clone());
    let text = &source[range.clone()];
    let fault = if error.msg.contains("has()") {
        Fault::new(range, "has() takes one attribute").with_hint("write has(profile.name)")
    } else if error.msg.starts_with("invalid int") || error.msg.starts_with("invalid uint") {
        Fault::new(range, format!("the number {text} is too large")).with_hint("write it with a decimal point")
    } else if error.msg.starts_with("invalid double") {
        Fault::new(range, format!("the number {text} is too large"))
    } else if error.msg.starts_with("reserved identifier") {
        Fault::new(range, format!("`{text}` is a reserved word and cannot be a name"))
    } else if token.is_none() {
        Fault::new(range, "the condition ends too early")
    } else {
        Fault::new(range, format!("`{text}` does not fit here"))
            .with_hint("put round brackets around the parts that belong together")
    };
    vec![fault]
}

/// Returns the byte at a line and column, both counted in characters from 1.
fn byte_of(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(1).max(1) - 1;
    let column = usize::try_from(column).unwrap_or(1).max(1) - 1;
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &source[start..];
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

struct Reader<'a> {
    source: &'a str,
    tokens: &'a [Token],
    positions: &'a SourceInfo,
}

impl Reader<'_> {
    fn node(&self, expression: IdedExpr, depth: usize) -> Result<Node, Fault> {
        let token = self.token(expression.id);
        let own = token.map_or(0..self.source.len(), |index| self.tokens[index].range.clone());
        if depth > DEPTH_MAX {
            let message = format!("this is nested or chained more than {DEPTH_MAX} deep");
            return Err(Fault::new(own, message).with_hint("split the condition into several"));
        }
        let form = match expression.expr {
            Expr::Literal(literal) => return Self::literal(literal, own),
            Expr::Ident(name) => Form::Name(name),
            Expr::Select(select) => return self.field(select, token, depth),
            Expr::List(list) => Form::List(
                list.elements
                    .into_iter()
                    .map(|item| self.node(item, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            Expr::Call(call) => return self.call(call, token, depth),
            Expr::Unspecified | Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) => {
                return Err(Fault::new(own, "this is not supported in a condition"));
            }
        };
        let range = if matches!(form, Form::List(_)) {
            self.to_closing(token, own)
        } else {
            own
        };
        Ok(Node { range, form })
    }

    fn literal(literal: LiteralValue, range: Range<usize>) -> Result<Node, Fault> {
        let form = match literal {
            LiteralValue::Boolean(value) => Form::Boolean(*value.inner()),
            LiteralValue::Double(value) => Form::Number(*value.inner()),
            LiteralValue::Int(value) => Form::Number(*value.inner() as f64),
            LiteralValue::UInt(value) => Form::Number(*value.inner() as f64),
            LiteralValue::String(value) => Form::Text(value.inner().to_owned()),
            LiteralValue::Null => Form::Null,
            LiteralValue::Bytes(_) => return Err(Fault::new(range, "bytes are not supported in a condition")),
        };
        Ok(Node { range, form })
    }

    fn field(&self, select: SelectExpr, token: Option<usize>, depth: usize) -> Result<Node, Fault> {
        let of = self.node(*select.operand, depth + 1)?;
        if select.test {
            let range = self.whole_call(token, of.range.clone());
            let field = Node {
                range: of.range.start..self.end_of(token.map(|open| self.closing(open).saturating_sub(1)), range.end),
                form: Form::Field {
                    of: Box::new(of),
                    name: select.field,
                },
            };
            return Ok(Node {
                range,
                form: Form::Present(Box::new(field)),
            });
        }
        let range = of.range.start..self.end_of(token.map(|dot| dot + 1), of.range.end);
        Ok(Node {
            range,
            form: Form::Field {
                of: Box::new(of),
                name: select.field,
            },
        })
    }

    fn call(&self, call: CallExpr, token: Option<usize>, depth: usize) -> Result<Node, Fault> {
        let own = token.map_or(0..self.source.len(), |index| self.tokens[index].range.clone());
        let target = call
            .target
            .map(|target| self.node(*target, depth + 1))
            .transpose()?
            .map(Box::new);
        let mut arguments = call
            .args
            .into_iter()
            .map(|argument| self.node(argument, depth + 1))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(operator) = binary(&call.func_name)
            && arguments.len() == 2
            && let (Some(right), Some(left)) = (arguments.pop(), arguments.pop())
        {
            let range = left.range.start..right.range.end;
            let (left, right) = (Box::new(left), Box::new(right));
            return Ok(Node {
                range,
                form: Form::Binary { operator, left, right },
            });
        }
        match (call.func_name.as_str(), arguments.len()) {
            (operators::LOGICAL_NOT | operators::NEGATE, 1) => {
                let inner = Box::new(arguments.remove(0));
                let range = own.start..inner.range.end.max(own.end);
                let negate = call.func_name == operators::NEGATE;
                Ok(Node {
                    range,
                    form: if negate { Form::Negate(inner) } else { Form::Not(inner) },
                })
            }
            (operators::CONDITIONAL, 3) => {
                let (no, yes, test) = (arguments.remove(2), arguments.remove(1), arguments.remove(0));
                let range = test.range.start..no.range.end;
                let form = Form::Choose {
                    test: Box::new(test),
                    yes: Box::new(yes),
                    no: Box::new(no),
                };
                Ok(Node { range, form })
            }
            (operators::INDEX, 2) => {
                let (index, of) = (arguments.remove(1), arguments.remove(0));
                let range = of.range.start..self.to_closing(token, own).end;
                indexed(range, of, index)
            }
            _ => {
                let start = target.as_ref().map(|target| target.range.start);
                let range = self.whole_call(token, own);
                let range = start.unwrap_or(range.start)..range.end;
                Ok(Node {
                    range,
                    form: Form::Call {
                        name: call.func_name,
                        target,
                        arguments,
                    },
                })
            }
        }
    }

    /// Returns the token that the parser noted for an expression.
    fn token(&self, id: u64) -> Option<usize> {
        let (start, _) = self.positions.offset_for(id)?;
        let start = usize::try_from(start).ok()?;
        self.tokens.binary_search_by_key(&start, |token| token.range.start).ok()
    }

    fn end_of(&self, token: Option<usize>, otherwise: usize) -> usize {
        token
            .and_then(|index| self.tokens.get(index))
            .map_or(otherwise, |token| token.range.end)
    }

    /// Returns the bracket that closes the one at `open`, or the last token.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    fn to_closing(&self, open: Option<usize>, own: Range<usize>) -> Range<usize> {
        own.start..self.end_of(open.map(|open| self.closing(open)), own.end)
    }

    /// Returns the range from the function's name before the bracket `open` to the closing bracket.
    fn whole_call(&self, open: Option<usize>, own: Range<usize>) -> Range<usize> {
        let name = open
            .and_then(|open| open.checked_sub(1))
            .and_then(|name| self.tokens.get(name));
        name.map_or(own.start, |token| token.range.start)..self.to_closing(open, own).end
    }
}

/// Makes a field of `of["name"]`.
fn indexed(range: Range<usize>, of: Node, index: Node) -> Result<Node, Fault> {
    let Form::Text(name) = index.form else {
        let fault = Fault::new(index.range, "only a name in quotation marks can stand here");
        return Err(fault.with_hint("write intent[\"name\"]"));
    };
    Ok(Node {
        range,
        form: Form::Field { of: Box::new(of), name },
    })
}

fn binary(name: &str) -> Option<Operator> {
    Some(match name {
        operators::LOGICAL_AND => Operator::And,
        operators::LOGICAL_OR => Operator::Or,
        operators::EQUALS => Operator::Compare(Order::Equal),
        operators::NOT_EQUALS => Operator::Compare(Order::NotEqual),
        operators::LESS => Operator::Compare(Order::Less),
        operators::LESS_EQUALS => Operator::Compare(Order::LessOrEqual),
        operators::GREATER => Operator::Compare(Order::Greater),
        operators::GREATER_EQUALS => Operator::Compare(Order::GreaterOrEqual),
        operators::ADD => Operator::Calculate(Arithmetic::Add),
        operators::SUBSTRACT => Operator::Calculate(Arithmetic::Subtract),
        operators::MULTIPLY => Operator::Calculate(Arithmetic::Multiply),
        operators::DIVIDE => Operator::Calculate(Arithmetic::Divide),
        operators::MODULO => Operator::Calculate(Arithmetic::Remainder),
        operators::IN => Operator::In,
        _ => return None,
    })
}
