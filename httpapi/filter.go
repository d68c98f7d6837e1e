package httpapi

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/hashicorp/go-bexpr"
	"github.com/hashicorp/go-bexpr/grammar"
)

// filterSteps bounds the work of parsing a filter expression to about a tenth of a
// second: the grammar tries each pair of parentheses in several ways. It is enough
// for some sixty conditions.
const filterSteps = 50_000

// filter keeps the elements of a list that a ?filter expression is true of. The
// nil filter keeps all.
//
// Source: contract, README, section 21.
type filter[T any] struct{ eval *bexpr.Evaluator }

// newFilter reads an expression over the fields of T.
func newFilter[T any](expression string) (*filter[T], error) {
	if expression == "" {
		return nil, nil
	}
	const failed = "Failed to create boolean expression evaluator: "
	tree, err := grammar.Parse("", []byte(expression), grammar.MaxExpressions(filterSteps))
	if err != nil {
		return nil, serverError(failed + err.Error())
	}
	// The library finds a wrong selector only when it meets an element, and not at
	// all in an empty list.
	if bad := wrongSelector(tree, reflect.TypeFor[T](), nil); bad != "" {
		return nil, serverError(failed + fmt.Sprintf("Selector %q is not valid", bad))
	}
	eval, err := bexpr.CreateEvaluator(expression, bexpr.WithMaxExpressions(filterSteps))
	if err != nil {
		return nil, serverError(failed + err.Error())
	}
	return &filter[T]{eval}, nil
}

// of returns the elements to keep; never nil.
func (f *filter[T]) of(list []T) ([]T, error) {
	kept := []T{}
	for _, v := range list {
		if f != nil {
			ok, err := f.eval.Evaluate(v)
			if err != nil {
				return nil, serverError("Failed to filter: " + err.Error())
			}
			if !ok {
				continue
			}
		}
		kept = append(kept, v)
	}
	return kept, nil
}

// wrongSelector returns the first selector in the expression that names no field
// of t; empty when all do. Names that the expression itself binds are right.
func wrongSelector(tree any, t reflect.Type, bound []string) string {
	switch e := tree.(type) {
	case *grammar.UnaryExpression:
		return wrongSelector(e.Operand, t, bound)
	case *grammar.BinaryExpression:
		if bad := wrongSelector(e.Left, t, bound); bad != "" {
			return bad
		}
		return wrongSelector(e.Right, t, bound)
	case *grammar.MatchExpression:
		return checkSelector(e.Selector, t, bound)
	case *grammar.CollectionExpression:
		if bad := checkSelector(e.Selector, t, bound); bad != "" {
			return bad
		}
		return wrongSelector(e.Inner, t, append(slices.Clone(bound), e.NameBinding.Default, e.NameBinding.Index, e.NameBinding.Value))
	}
	return ""
}

func checkSelector(s grammar.Selector, t reflect.Type, bound []string) string {
	if len(s.Path) > 0 && slices.Contains(bound, s.Path[0]) {
		return ""
	}
	for _, name := range s.Path {
		switch t.Kind() {
		case reflect.Struct:
			field, ok := t.FieldByName(name)
			if !ok {
				return s.String()
			}
			t = field.Type
		case reflect.Map, reflect.Slice:
			t = t.Elem()
		default:
			return s.String()
		}
	}
	return ""
}
